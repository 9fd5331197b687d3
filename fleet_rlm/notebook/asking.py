"""One `%%fleet` cell: read what it asks, start the run, bind its names, and wait for the end in either form.

`_run` is the run from its start on. The variable of `-o` is None from the start and the answer from the end, so that a
cell which fails or is stopped never leaves an old answer standing; who waits for `_run` finds it bound.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from fleet_rlm.notebook import arguments, outcome
from fleet_rlm.notebook.answering import check_answerable
from fleet_rlm.notebook.arguments import Arguments
from fleet_rlm.notebook.context import gather, interpolate, texts_that_name_files
from fleet_rlm.notebook.current import SESSIONS
from fleet_rlm.notebook.functions import tools
from fleet_rlm.notebook.interrupts import deferred
from fleet_rlm.notebook.runs import RUNS
from fleet_rlm.notebook.show import View, view_for

if TYPE_CHECKING:
    from fleet_rlm.core.budget import Budget
    from fleet_rlm.core.run import Run

Namespace = MutableMapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What a cell asks, with every slip of the pen already found."""

    task: str
    context: dict[str, Any]
    options: Arguments
    tools: tuple[Callable[..., Any], ...] = ()

    def for_engine(self) -> dict[str, Any]:
        """The keyword arguments of `start` and `plan`; an option not given is not passed."""
        options = self.options
        chosen = {
            "context": self.context or None,
            "lm": options.model,
            "sub_lm": options.sub_model,
            "mode": options.mode,
            "budget": _budget(options),
            "timeout": options.timeout,
            "depth": options.depth,
            "concurrency": options.concurrency,
            "sandbox": options.sandbox,
            "approve": options.approve,
            "tools": self.tools or None,
            "record": options.record,
            "replay": options.replay,
        }
        return {name: value for name, value in chosen.items() if value is not None}


def read(line: str, body: str, namespace: Namespace) -> Question | None:
    """The question of a cell; None when the cell only asked for help, which is then printed.

    Raises:
        UsageError: something in the cell cannot be understood.
    """
    options = arguments.parse(line)
    if options.help:
        print(arguments.help_text())
        return None
    if not body.strip():
        raise UsageError("the question is missing: write it on the lines below %%fleet (%%fleet -h shows the options)")
    question = Question(
        interpolate(body.strip(), namespace),
        gather(options.context, namespace),
        options,
        tuple(tools(options.tools, namespace)),
    )
    for note in texts_that_name_files(question.context):
        print(note, file=sys.stderr)
    return question


def ask(shell: Any, question: Question) -> None:
    """Run the question and block until it has ended; under `--detach` or `--plan` return at once."""
    blocking(lambda: _begin(shell, question, awaits=False))


def blocking(begin: Callable[[], tuple[Run, View] | None]) -> None:
    """Begin a run and block until it has ended."""
    with deferred() as interrupts:
        started = begin()
    if started is None:
        return
    run, view = started
    if interrupts:
        run.stop()
    try:
        error = outcome.wait(run)
    finally:
        view.end(run)
    if error is not None:
        raise outcome.in_one_line(error)


async def ask_awaiting(shell: Any, question: Question) -> None:
    """The same, leaving the kernel's loop free for widget messages meanwhile."""
    await awaiting(lambda: _begin(shell, question, awaits=True))


async def awaiting(begin: Callable[[], tuple[Run, View] | None]) -> None:
    """Begin a run and await its end."""
    if (started := begin()) is None:
        return
    run, view = started
    try:
        error = await outcome.ended(run)
    finally:
        view.end(run)
    if error is not None:
        raise outcome.in_one_line(error)


def _begin(shell: Any, question: Question, *, awaits: bool) -> tuple[Run, View] | None:
    """Start the run and show it; None when there is nothing left to wait for."""
    from fleet_rlm.agent import runtime  # dspy: seconds, so not before the first question
    from fleet_rlm.core.errors import FleetError

    options = question.options
    try:
        session = SESSIONS.asked(options)
        if options.plan:
            described = (session or runtime).plan(question.task, **question.for_engine()).text()
            print(f"%%fleet {arguments.given(options)}\n\n{described}")
            return None
        check_answerable(shell, options.approve, awaits=awaits, quiet=options.quiet, detached=options.detach)
        view = view_for(shell, quiet=options.quiet, detached=options.detach)
        run = (session or runtime).start(question.task, **question.for_engine())
        if session is not None:
            shell.user_ns["_session"] = session
        if session is not None and not options.quiet:
            print(f"session {session.name}, turn {len(session.turns) + 1}")
    except FleetError as error:
        raise UsageError(str(error)) from error
    return follow(shell, run, view, output=options.output, detach=options.detach)


def follow(shell: Any, run: Run, view: View, *, output: str | None, detach: bool) -> tuple[Run, View] | None:
    """Bind a run that has started and show it; None when its cell need not wait for it."""
    from fleet_rlm.core.loop import submit

    namespace = shell.user_ns
    try:
        namespace["_run"] = run
        if output:
            _bind_answer(run, namespace, output)
        RUNS.add(run)
        view.begin(run)
    except BaseException:
        run.stop()  # what nobody can see must not go on spending
        raise
    if detach:
        submit(_finish_later(run, view))
        return None
    return run, view


async def _finish_later(run: Run, view: View) -> None:
    try:
        await outcome.ended(run)
    finally:
        view.end(run)


def _bind_answer(run: Run, namespace: Namespace, name: str) -> None:
    from fleet_rlm.core.events import Event, RunEnd

    def at_the_end(event: Event) -> None:
        if isinstance(event, RunEnd):  # written before anybody who waits for the run goes on
            namespace[name] = event.answer

    namespace[name] = None
    run.log.subscribe(at_the_end, since=0)


def _budget(options: Arguments) -> int | Budget | None:
    if options.usd is None:
        return options.budget
    from fleet_rlm.core.budget import Budget  # msgspec: only when dollars are limited

    return Budget(usd=options.usd) if options.budget is None else Budget(usd=options.usd, calls=options.budget)
