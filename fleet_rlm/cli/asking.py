"""One question asked from a terminal: start, watch, wait, and what is left when it is over."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_rlm.cli import options
from fleet_rlm.cli.answering import Aside, answered, check_answerable
from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.core.report.facts import printable

if TYPE_CHECKING:
    from rich.console import Console

    from fleet_rlm.core.run import Run

OK, NO_ANSWER, NOT_BEGUN, STOPPED = 0, 1, 2, 130
"""Exit codes; 2 and 130 are what shells expect of a usage error and of Ctrl-C."""


def ask(question: str, context: dict[str, Any], args: argparse.Namespace, console: Console | None) -> Run:
    """Start a run and wait for its end, however it ends; Ctrl-C stops it. `console` shows it live."""
    from fleet_rlm.agent import runtime  # dspy: seconds

    check_answerable(getattr(args, "approve", None))
    if getattr(args, "session", None) is None:
        return followed(runtime.start(question, context=context or None, **options.engine(args)), console)
    from fleet_rlm.cli.sessions import opened

    with opened(args.session) as session:
        run = session.start(question, context=context or None, **options.engine(args))
        return followed(run, console, told=session.notices)


def followed(run: Run, console: Console | None, *, told: Iterable[object] = ()) -> Run:
    """Wait for the end of a run that has started, and let the user answer what it asks; Ctrl-C stops it. `console`
    shows it live.

    What the run warns of goes to standard error, except for what the user was `told` before.
    """
    from fleet_rlm.cli.live import live

    if console is None:
        _wait(run, nullcontext)
    else:
        with live(run, console) as view:
            _wait(run, view.aside)
    known = {str(one) for one in told}
    for note in run.tree.notes:
        if note.level == "warning" and note.text not in known:
            print(f"note: {printable(note.text)}", file=sys.stderr)
    return run


def _wait(run: Run, aside: Aside) -> None:
    try:
        answered(run, aside)
    except KeyboardInterrupt:
        run.stop()
        with suppress(FleetError, TimeoutError):
            run.wait(timeout=10)


def exit_code(run: Run) -> int:
    """An answer given early because a limit was reached is an answer."""
    if run.status in ("stopped", "running"):
        return STOPPED
    return OK if run.answer is not None and run.status in ("ok", "exhausted") else NO_ANSWER


def report_of(run: Run, path: Path | None) -> Path | None:
    """Write the HTML report to `path`, else beside the run's log; None where there is neither.

    Raises:
        UserError: it cannot be written there.
    """
    path = path or (run.log.directory and run.log.directory / "report.html")
    if path is None:
        return None
    try:
        return run.to_html(path)
    except OSError as error:
        raise UserError(f"the report cannot be written to {path}: {error.strerror}") from error


def console() -> Console:
    """Standard output, as wide as the terminal, or as a page where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140, emoji=False)  # file.py:100: is a place, no emoji
