"""`%fleet runs`, `show`, `stop`, `approve`, `limit`, `status`, `models`, `config`, `doctor`, `help`: runs and settings.

Each is a function that returns the text to print, and its docstring is its line in `%fleet help`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from fleet_rlm.notebook.arguments import Option, asks_for_help, options, split_words, unquoted, value_of
from fleet_rlm.notebook.current import SESSIONS
from fleet_rlm.notebook.goingon import VERBS, go_on, known_options
from fleet_rlm.notebook.runs import RUNS
from fleet_rlm.notebook.sessions import COMMANDS, help_lines, session_command
from fleet_rlm.notebook.show import display
from fleet_rlm.notebook.suggest import did_you_mean
from fleet_rlm.notebook.tables import short, table

if TYPE_CHECKING:
    from fleet_rlm.core.diff import Diff
    from fleet_rlm.core.run import Run


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("the number of a question, as %fleet status tells it")
    return int(text)


_ALWAYS = Option(("--always",), "this tool, for the rest of the run")
_NOTE = Option(("--note",), "what the model should do instead", "TEXT", unquoted)
_ASK = Option(("--ask",), "which question, where a run asks several", "N", _number)

ELSEWHERE = 10
"""Runs of other kernels that `%fleet runs` names."""


def subcommand(shell: Any, line: str) -> None:
    """Carry out a `%fleet` line.

    Raises:
        UsageError: there is no such subcommand, or it cannot be done.
    """
    from fleet_rlm.core.errors import FleetError  # the room's first use of core: not needed to load the extension

    name, *words = split_words(line) or ["help"]
    name = "help" if name in ("-h", "--help") else name
    try:
        if asks_for_help(words):
            print(_about(name, words))
        elif name in VERBS:
            go_on(shell, name, words)
        elif name == "session":
            print(session_command(words))
            if SESSIONS.current is not None:
                shell.user_ns["_session"] = SESSIONS.current
        elif name == "diff":
            display(_diff(words, shell))
        elif name in OF_A_RUN:
            print(_of_a_run(name, words, shell))
        elif name in PLAIN and not words:
            print(PLAIN[name]())
        elif name in PLAIN:
            raise UsageError(f"%fleet {name} stands alone, without {' '.join(words)!r}")
        else:
            close = (
                did_you_mean(name, [*VERBS, *PLAIN, *OF_A_RUN, "diff", "session"])
                or "; a question goes below %%fleet, see %fleet help"
            )
            raise UsageError(f"%fleet has no subcommand {name!r}{close}")
    except FleetError as error:
        raise UsageError(str(error)) from error


def _about(name: str, words: list[str]) -> str:
    """The lines of the help that begin with these words, and what the options mean."""
    prefix = " ".join(["%fleet", name, *words[:1]] if name == "session" and words[0] in COMMANDS else ["%fleet", name])
    rows = [row for row in _help_rows() if row[0] == prefix or row[0].startswith(f"{prefix} ")]
    if not rows:
        raise UsageError(f"%fleet has no subcommand {name!r}; %fleet help lists them")
    known = known_options(name) if name in VERBS else options_of(name)
    described = {option.usage: option.help for _, option in known.values()}
    return "\n".join([table(rows), *([table(list(map(list, described.items())))] if described else [])])


def _of_a_run(name: str, words: list[str], shell: Any) -> str:
    names, given = _read(name, words)
    if len(names) > 1:
        raise UsageError(f"%fleet {name} takes one run, not {' '.join(names)!r}")
    if names or name in ("show", "status"):
        return OF_A_RUN[name](RUNS.find(names[0] if names else "", shell.user_ns), **given)
    going_on, doing = RUNS.running(), "going on"
    if name in ("approve", "deny"):
        going_on, doing = [run for run in going_on if run.asks], "waiting for an answer"
    if len(going_on) != 1:
        ids = ", ".join(run.id for run in going_on)
        raise UsageError(f"several runs are {doing}, say which: {ids}" if ids else f"no run is {doing}")
    return OF_A_RUN[name](going_on[0], **given)


def _read(name: str, words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The runs that are named, and the options as keywords of the subcommand."""
    known, rest = options_of(name), iter(words)
    names: list[str] = []
    given: dict[str, Any] = {}
    for word in rest:
        flag = word.partition("=")[0]
        if not word.startswith("-"):
            names.append(word)
        elif flag in known:
            keyword, option = known[flag]
            given[keyword] = value_of(option, word, rest)
        else:
            raise UsageError(f"%fleet {name} has no option {word}{did_you_mean(flag, known)}")
    return names, given


def options_of(name: str) -> dict[str, tuple[str, Option]]:
    """Flag -> keyword and option, for a subcommand; a limit is written as in `%%fleet`."""
    if name == "show":
        return {"--sent": ("sent", Option(("--sent",), "every prompt exactly as a model got it"))}
    if name == "approve":
        return {"--always": ("always", _ALWAYS), "--ask": ("ask", _ASK)}
    if name == "deny":
        return {"--note": ("note", _NOTE), "--ask": ("ask", _ASK)}
    limits = {"budget": "calls", "usd": "usd", "timeout": "seconds"} if name == "limit" else {}
    return {options()[field].flags[0]: (keyword, options()[field]) for field, keyword in limits.items()}


def _show(run: Run, *, sent: bool = False) -> str:
    """[RUN] [--sent]: show a run again, the latest without RUN; --sent: every prompt exactly as a model got it"""
    if sent:
        from fleet_rlm.notebook.sent import sent_text

        return sent_text(run.tree)
    display(run)
    return f"run {run.id}: {run.status}"


def _stop(run: Run) -> str:
    """[RUN]: stop a run; without RUN the one that is going on"""
    if run.status != "running":
        return f"run {run.id} has already ended: {run.status}"
    run.stop()
    return f"run {run.id} is told to stop"


def _approve(run: Run, *, always: bool = False, ask: int | None = None) -> str:
    """[RUN] [--always] [--ask N]: allow what a run asks; --always: that tool, for the rest of the run"""
    return _decided(run, "always" if always else "once", ask)


def _deny(run: Run, *, note: str | None = None, ask: int | None = None) -> str:
    """[RUN] [--note TEXT] [--ask N]: decline what a run asks; it is told the note and goes another way"""
    return _decided(run, "no", ask, note)


def _decided(run: Run, answer: str, ask: int | None, note: str | None = None) -> str:
    asked = run.approve(answer, ask=ask, note=note)
    return f"{asked.question} {'no' if answer == 'no' else f'yes, {answer}'} (run {run.id})"


def _limit(run: Run, **limits: Any) -> str:
    """[RUN] [--budget N] [--usd X] [--timeout S]: new limits of a run that goes on, what it has spent included"""
    if not limits:
        raise UsageError(f"%fleet limit needs a new limit: {', '.join(options_of('limit'))}")
    run.limit(**limits)
    return f"run {run.id} has left: {_left(run)}"


def _status(run: Run) -> str:
    """[RUN]: how far a run is, what it has spent, and where its code runs"""
    start, spent, isolation = run.tree.start, run.budget.spent, run.isolation
    model = start.model if start else "unknown"
    rows = [
        ["run", run.id],
        ["status", run.status],
        ["task", short(run.task)],
        ["model", f"{model} (a stand-in, not a language model)" if run.offline else model],
        ["spans", str(len(run.tree.spans))],
        ["spent", f"{spent.calls} calls, {_seconds(run)} s, {_known(spent.tokens)} tokens, {_known(spent.usd)} USD"],
        ["left", _left(run)],
        ["sandbox", f"{isolation.backend}, {isolation.tier}" if isolation else "none started"],
        *([f"asks, {ask.seq}", f"{ask.question} (%fleet approve, %fleet deny)"] for ask in run.asks),
        *([["error", run.error]] if run.error else []),
    ]
    return table(rows)


def _diff(words: list[str], shell: Any) -> Diff:
    """RUN RUN: two runs side by side, and where they part"""
    if len(words) != 2:
        raise UsageError("%fleet diff takes two runs, by id, the beginning of one, or a variable")
    a, b = (RUNS.find(word, shell.user_ns) for word in words)
    return a.diff(b)


def _runs() -> str:
    """the runs of this kernel, the latest last, and after them the latest ones of others"""
    from fleet_rlm.core.runs import run_ids

    here = RUNS.all()
    rows = [[run.id, run.status, str(run.usage.llm_calls), _seconds(run), short(run.task)] for run in here]
    others = [run_id for run_id in run_ids() if run_id not in {run.id for run in here}][:ELSEWHERE]
    told = f"\n\nof other kernels, the latest first: {', '.join(others)}" if others else ""
    if not rows:
        return f"no run has been started in this kernel yet; write a question below %%fleet{told}"
    return table([["run", "status", "calls", "seconds", "task"], *rows]) + told


def _models() -> str:
    """the models that can be named right now"""
    from fleet_rlm.lm.resolve import known_models

    return "\n".join([*known_models(), "... and any other name dspy knows, written provider/model"])


def _config() -> str:
    """the settings of this kernel and the variables that set them"""
    from fleet_rlm.core.redaction import REDACTED, SECRET_NAME
    from fleet_rlm.core.settings import Settings

    settings = Settings.from_environ()
    values = {variable: getattr(settings, name) for name, variable in Settings.VARIABLES.items()}
    shown = {
        variable: REDACTED if value and SECRET_NAME.search(variable) else value for variable, value in values.items()
    }
    return table([[variable, "not set" if value is None else str(value)] for variable, value in shown.items()])


def _doctor() -> str:
    """whether everything a run needs is there, and what to do if not"""
    from fleet_rlm.agent.doctor import checks

    rows = []
    for check in checks():
        rows.append(["ok" if check.ok else "MISSING", check.name, check.detail])
        if not check.ok and check.way_out:
            rows.append(["", "", check.way_out])
    return table(rows)


def _help() -> str:
    """this list"""
    return f"%%fleet asks a question; %%fleet -h shows its options.\n\n{table(_help_rows())}"


def _help_rows() -> list[list[str]]:
    rows = [[f"%fleet {name}", (do.__doc__ or "").strip()] for name, do in [*OF_A_RUN.items(), *PLAIN.items()]]
    rows[1:1] = [*([f"%fleet {verb}", about] for verb, about in VERBS.items()), ["%fleet diff", _diff.__doc__ or ""]]
    return [*rows, *help_lines()]


OF_A_RUN: dict[str, Callable[..., str]] = {
    "show": _show,
    "stop": _stop,
    "approve": _approve,
    "deny": _deny,
    "limit": _limit,
    "status": _status,
}
"""Subcommands that take a run, by its id, the beginning of it, or a variable."""

PLAIN: dict[str, Callable[[], str]] = {
    "runs": _runs,
    "models": _models,
    "config": _config,
    "doctor": _doctor,
    "help": _help,
}
"""Subcommands that stand alone."""


def _seconds(run: Run) -> str:
    """From the first event to the last, or to now while the run goes on."""
    if run.tree.start is None:
        return "unknown"
    until = run.tree.end.ts if run.tree.end else time.time_ns() // 1000
    return f"{(until - run.tree.start.ts) / 1e6:.1f}"


def _left(run: Run) -> str:
    limits = [(name, getattr(run.budget.remaining, name)) for name in ("calls", "tokens", "usd", "seconds")]
    return ", ".join(f"{_known(value)} {name}" for name, value in limits if value is not None) or "no limits"


def _known(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
