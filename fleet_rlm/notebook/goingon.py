"""`%fleet resume RUN` and `%fleet branch RUN SPAN`: go on with a run, or start another off it, shown like a question.

The runs of this kernel and those on disk can be named; options are written as in `%%fleet`. Alone in a cell the line
awaits, so that its Stop button works (`fleet_rlm.notebook.awaiting`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from fleet_rlm.notebook.answering import check_answerable
from fleet_rlm.notebook.arguments import Option, asks_for_help, options, split_words, unquoted, value_of
from fleet_rlm.notebook.asking import awaiting, blocking, follow
from fleet_rlm.notebook.context import gather
from fleet_rlm.notebook.current import SESSIONS
from fleet_rlm.notebook.functions import tools
from fleet_rlm.notebook.runs import RUNS
from fleet_rlm.notebook.show import View, view_for
from fleet_rlm.notebook.suggest import did_you_mean

if TYPE_CHECKING:
    from fleet_rlm.core.run import Run

SHARED = ("context", "output", "model", "sub_model", "budget", "usd", "timeout", "approve", "tools", "quiet", "detach")
"""The options of `%%fleet` that both take."""

EDITS = {
    "prompt": Option(("--prompt",), "what is asked at the span instead", "TEXT"),
    "code": Option(("--code",), "what the span runs instead", "TEXT"),
    "reply": Option(("--reply",), "what the model is taken to have replied", "TEXT"),
}
"""The options of `%fleet branch` alone."""

VERBS = {
    "resume": "[RUN] [options]: go on with a run without an answer, the latest if none is named; nothing is paid twice",
    "branch": "RUN SPAN --prompt|--code|--reply TEXT [options]: a new run that differs from there",
}


def known_options(verb: str) -> dict[str, tuple[str, Option]]:
    """Flag -> keyword and option of a verb."""
    known = {name: options()[name] for name in SHARED} | (EDITS if verb == "branch" else {})
    return {flag: (name, option) for name, option in known.items() for flag in option.flags}


def go_on(shell: Any, verb: str, words: list[str]) -> None:
    """Carry out the line and block until the run has ended.

    Raises:
        UsageError: it cannot be carried out as written.
    """
    blocking(_beginning(shell, verb, words, awaits=False))


async def go_on_awaiting(shell: Any, line: str) -> None:
    """The same for a whole line, leaving the kernel's loop free meanwhile."""
    verb, *words = split_words(line)
    if asks_for_help(words):
        from fleet_rlm.notebook.subcommands import subcommand

        subcommand(shell, line)
        return
    await awaiting(_beginning(shell, verb, words, awaits=True))


def _beginning(shell: Any, verb: str, words: list[str], *, awaits: bool) -> Callable[[], tuple[Run, View] | None]:
    names, given = _read(verb, words)
    wanted = 2 if verb == "branch" else 1
    if len(names) > wanted or (verb == "branch" and len(names) < 2):
        raise UsageError(f"%fleet {verb} takes {'a run and a span' if wanted == 2 else 'one run'}: {VERBS[verb]}")

    def begin() -> tuple[Run, View] | None:
        from fleet_rlm.agent.resume import check_unanswered
        from fleet_rlm.core.errors import FleetError

        output, quiet, detach = (given.pop(name, None) for name in ("output", "quiet", "detach"))
        try:
            run = _cut_off() if not names else None
            run = run or RUNS.find(names[0] if names else "", shell.user_ns)
            view = view_for(shell, quiet=bool(quiet), detached=bool(detach))
            changes = _changes(given, shell.user_ns)
            policy = changes.get("approve") or run.approvals
            check_answerable(shell, policy, awaits=awaits, quiet=bool(quiet), detached=bool(detach))
            if verb == "resume":  # before a session is entered for it, and the one before left
                check_unanswered(run.tree.end, more="budget" in changes or "timeout" in changes)
            session = SESSIONS.of_run(run)
            if verb == "branch":
                begun = session.branch(run, names[1], **changes) if session else run.branch(names[1], **changes)
            else:
                begun = session.resume(run, **changes) if session else run.resume(**changes)
        except FleetError as error:
            raise UsageError(str(error)) from error
        return follow(shell, begun, view, output=output, detach=bool(detach))

    return begin


def _cut_off() -> Run | None:
    """The run of the session's latest turn, where that has no answer and every run of this kernel has: the turn of a
    kernel that was killed, which the session told of when it was entered."""
    turns = SESSIONS.current.turns if SESSIONS.current is not None else ()
    if not turns or turns[-1].status == "ok" or turns[-1].run is None:
        return None
    return None if any(run.status != "ok" for run in RUNS.all()[-1:]) else RUNS.find(turns[-1].run, {})


def _read(verb: str, words: list[str]) -> tuple[list[str], dict[str, Any]]:
    known, rest = known_options(verb), iter(words)
    names: list[str] = []
    given: dict[str, Any] = {}
    for word in rest:
        flag = word.partition("=")[0]
        if not word.startswith("-"):
            names.append(unquoted(word))
        elif flag not in known:
            raise UsageError(f"%fleet {verb} has no option {word}{did_you_mean(flag, known)}")
        else:
            name, option = known[flag]
            value = value_of(option, word, rest)
            given[name] = (*given.get(name, ()), value) if option.repeats else value
    return names, given


def _changes(given: dict[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `resume` and `branch`."""
    changes = dict(given)
    if "context" in changes:
        changes["context"] = gather(changes["context"], namespace)
    if "tools" in changes:
        changes["tools"] = tools(changes["tools"], namespace)
    for name, keyword in (("model", "lm"), ("sub_model", "sub_lm")):
        if name in changes:
            changes[keyword] = changes.pop(name)
    usd = changes.pop("usd", None)
    if usd is not None:
        from fleet_rlm.core.budget import Budget

        calls = {"calls": changes["budget"]} if "budget" in changes else {}
        changes["budget"] = Budget(usd=usd, **calls)
    return changes
