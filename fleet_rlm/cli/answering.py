"""What a run asks, answered by whoever sits at the terminal.

Questions go to standard error and answers come from standard input, so both must be a terminal; where one is not, a
run that could ask is refused before it starts, for it would wait for ever.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from fleet_rlm.core.errors import FleetError, NotAsked, UserError
from fleet_rlm.core.events import ApprovalAsk, Event, RunEnd
from fleet_rlm.core.report.facts import printable

if TYPE_CHECKING:
    from fleet_rlm.core.run import Run
    from fleet_rlm.core.tree import Ask

WORDS = {"y": "once", "yes": "once", "once": "once", "a": "always", "always": "always", "n": "no", "no": "no"}

Aside = Callable[[], AbstractContextManager[object]]
"""Takes what is drawn on the terminal away while something is asked there."""


def check_answerable(policy: str | None) -> None:
    """Refuse a run that could ask where nobody can answer.

    Raises:
        UserError: there is no terminal to ask in.
    """
    if policy not in (None, "auto") and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(
            f"--approve {policy} asks in the terminal, and there is none to ask in; "
            "run it in one, or with --approve auto, which lets nothing ask"
        )


def answered(run: Run, aside: Aside) -> None:
    """Wait for the end of a run, however it ends, and let the user answer meanwhile what it asks.

    Raises:
        KeyboardInterrupt: Ctrl-C, also in the middle of an answer.
    """
    told: queue.SimpleQueue[Event] = queue.SimpleQueue()
    begun = run.tree.resumed
    unsubscribe = run.log.subscribe(told.put, since=0 if begun is None else begun.seq)
    try:
        while not isinstance(event := told.get(), RunEnd):
            if isinstance(event, ApprovalAsk):
                for asked in [ask for ask in run.asks if ask.seq == event.seq]:
                    with aside():
                        _answer(run, asked)
    finally:
        unsubscribe()
    with suppress(FleetError):
        run.wait()


def _answer(run: Run, asked: Ask) -> None:
    span = run.tree.spans.get(asked.span)
    print(f"\n? {printable(asked.question)}", file=sys.stderr)
    if span is not None and span.input:
        print(f"  {asked.tool} {printable(span.input)}", file=sys.stderr)
    while True:
        word, _, note = _line(f"  [y]es once, [a]lways {asked.tool}, [n]o and why: ").partition(" ")
        answer = WORDS.get(word.lower().rstrip(","))
        if answer is None:
            print("  y, a, or n and what it should do instead", file=sys.stderr)
            continue
        with suppress(NotAsked):  # it was answered elsewhere, or the run has ended meanwhile
            run.approve(answer, note=note.strip() or None if answer == "no" else None, ask=asked.seq)
        return


def _line(prompt: str) -> str:
    """The next line; a no at the end of the input, for then nobody will say yes."""
    with suppress(ImportError):  # where it is missing, what was typed before the question counts
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip() if line else "no"
