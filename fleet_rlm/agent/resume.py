"""Going on with a run from its log, and branching another one off it.

`resume` goes on where the log of a run ends: after a kernel was killed, a model failed, a user stopped it, a limit was
reached. What the log holds is told again and not paid again (`core.journal`), the sandbox is rebuilt by running its
cells again on the replies they had, and where the record ends the work goes on live, in the same log.
`branch` is a new run that shares the past of another up to a span, with one thing changed there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dspy
import msgspec

from fleet_rlm.agent.approval import Policy
from fleet_rlm.agent.documents.turn import NAME as DOCUMENTS
from fleet_rlm.agent.kept import NAME as KEPT
from fleet_rlm.agent.kept import restore
from fleet_rlm.agent.request import COMMAND_LINE, Request, check_options, request
from fleet_rlm.agent.runtime import in_session, new_run
from fleet_rlm.agent.tools.own import again, handed, own_tools
from fleet_rlm.agent.work import Ended, Opened, Work
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core import events as ev
from fleet_rlm.core.budget import Budget
from fleet_rlm.core.errors import ModelError, QuotaExhausted, UserError
from fleet_rlm.core.events import Artifact, Event, RunEnd, RunResume, RunStart, SpanEnd, Usage
from fleet_rlm.core.journal import EDITS, Edit, Journal
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.past import prefix
from fleet_rlm.core.redaction import Redactor
from fleet_rlm.core.run import Run
from fleet_rlm.core.settings import Settings
from fleet_rlm.core.tree import Tree

AGENT = "agent"

_FIELD = re.compile(r"^\[\[ ## (?!completed)\w+ ## \]\]\s*(.*?)(?=\s*^\[\[ ## |\s*\Z)", re.MULTILINE | re.DOTALL)
"""A named field of a reply, as dspy's chat format writes it."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different from the run as it was asked; None leaves a thing as it was. As the options of `fleet.run`."""

    context: Any = None
    lm: str | dspy.BaseLM | None = None
    sub_lm: str | dspy.BaseLM | None = None
    budget: int | Budget | None = None
    timeout: float | None = None
    approve: Policy | None = None
    tools: Sequence[Callable[..., Any] | dspy.Tool] | None = None


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a session gives a run of its own; see `agent.runtime.begin`."""

    workspace: Workspace | None = None
    sandbox: Opened | None = None
    ended: Ended | None = None


def resume(run: Run | str, *, around: Surroundings = Surroundings(), **changes: Any) -> Run:
    """Go on with a run that has no answer yet; returns at once, `wait()` for its end.

    Args:
        run: the run, or the id of one in FLEET_HOME, of this process or of one that is gone.
        around: the session's own, for a run that was a turn of one.
        context: values by name, for those that could not be kept or whose files have changed.
        lm, sub_lm: another model from here on, also written `model` and `sub_model`; needed where the first was given
            as a `dspy.LM`.
        budget: what the whole run may spend, with what it has spent already.
        timeout: seconds for the rest of the run; by default what was left.
        approve: which tools wait for a person from here on; what was decided before holds.
        tools: the user's own, where this process does not have them from the run; one of a new name is one more.

    Returns:
        a `Run` of the same id, whose log goes on.

    Raises:
        UserError: it has its answer, is still going on, or its data is not all here.
        ModelError: a model or its key is missing.
    """
    wanted, settings = _read(changes, "resume"), Settings.from_environ()
    known = run.events() if isinstance(run, Run) else ()
    return _go_on(_directory(run, settings), settings, _with_tools(run, wanted), around, known=known)


def branch(
    run: Run | str,
    span: str,
    *,
    prompt: str | None = None,
    code: str | None = None,
    reply: str | None = None,
    around: Surroundings = Surroundings(),
    **changes: Any,
) -> Run:
    """Start a run that shares another's past up to `span` and differs from there; returns at once.

    Args:
        run: the run, or the id of one in FLEET_HOME.
        span: the id of the span that is done differently, as in `run.spans()`.
        prompt: what is asked there instead: the prompt of an `llm` span, the query of an `rlm` span, the question of
            the turn.
        code: what a `code` span runs instead.
        reply: what an `llm` span is taken to have replied; the model is not asked. A plain text stands for the last
            of the fields that the reply had.
        context, lm, sub_lm, timeout, approve, tools: as `resume`.
        budget: what the new run may spend; its past is not counted.

    Returns:
        a new `Run` with `parent_run`; replies of its past are not paid again.

    Raises:
        UserError: there is no such span, or nothing of the kind can be changed there.
        ModelError: a model or its key is missing.
    """
    wanted, settings = _read(changes, "branch"), Settings.from_environ()
    source = _directory(run, settings)
    origin = _log_of(run, source)
    edit = _edit(origin, span, {"prompt": prompt, "code": code, "reply": reply})
    run_id, directory = new_run(settings)
    past = [_renamed(event, run_id, origin, span, edit, directory) for event in prefix(origin.events(), span)]
    try:
        _write(past, directory, source)
        return _go_on(directory, settings, _with_tools(run, wanted), around, edit)
    except OSError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise UserError(f"the branch cannot be written to {directory}: {error.strerror}") from error
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _read(changes: dict[str, Any], verb: str) -> Changes:
    known = Changes.__dataclass_fields__
    for typed, name in COMMAND_LINE.items():  # `model=`, as a cell writes it
        if typed in changes and name not in changes:
            changes[name] = changes.pop(typed)
    check_options(f"run.{verb}", changes, known)
    return Changes(**changes)


def _with_tools(run: Run | str, wanted: Changes) -> Changes:
    """What is wanted, with the tools that the run has from its process."""
    given = own_tools(wanted.tools)
    kept = [one for one in handed(run) if one.name not in {tool.name for tool in given}]
    return replace(wanted, tools=(*kept, *given))


def _directory(run: Run | str, settings: Settings) -> Path:
    directory = settings.home / "runs" / run if isinstance(run, str) else run.log.directory
    if directory is None:
        directory = settings.home / "runs" / run.id if isinstance(run, Run) else None
    if directory is None or not (directory / "events.jsonl").is_file():
        name = run if isinstance(run, str) else run.id
        raise UserError(f"there is no log of a run {name!r} in {settings.home / 'runs'}, so there is nothing to go on")
    return directory


def _log_of(run: Run | str, directory: Path) -> Run:
    return run if isinstance(run, Run) else Run.from_jsonl(directory / "events.jsonl")


def _go_on(
    directory: Path,
    settings: Settings,
    wanted: Changes,
    around: Surroundings,
    edit: Edit | None = None,
    known: Sequence[Event] = (),
) -> Run:
    log = RunLog.reopen(directory, edit, known)
    try:
        journal = log.journal
        assert journal is not None
        tree = journal.tree
        if tree.start is None:
            raise UserError(f"{directory} holds no log of a run")
        if edit is None:
            more = wanted.budget is not None or wanted.timeout is not None
            check_unanswered(tree.end, more=more)
            journal.has_more = more or _was_quota(tree.end)
        if tree.start.session is not None and around.workspace is None:
            raise UserError(
                f"run {log.run} is a turn of session {tree.start.session}; go on with it there: "
                f"fleet_rlm.Session(...).resume({log.run!r}), or %fleet resume"
            )
        workspace, documents = (None, None) if around.workspace is None else around.workspace.of_turn(directory)
        asked = _asked(tree, wanted, settings, directory, workspace, is_branch=edit is not None)
        log.redact(Redactor({*asked.lm.secrets, *asked.sub_lm.secrets}))
        reopened = journal.reopen()
        _close_others(log, journal, is_branch=edit is not None)
        log.emit(
            RunResume(
                reopened=[node.id for node in reopened],
                model=asked.lm.name,
                sub_model=asked.sub_lm.name,
                given=asked.given,
                budget=asked.budget.limits(),
                approve=asked.approve,
                tools=[str(one.name) for one in asked.tools],
            )
        )
    except BaseException:
        log.close()
        raise
    work = Work(
        asked,
        Run(log),
        workspace=workspace,
        documents=documents,
        opened=around.sandbox,
        ended=around.ended,
        is_kept=wanted.context is None,
    )
    work.scope.ledger.book(work.run.usage, sum(node.type == "rlm" for node in tree.spans.values()))
    for span, calls in _caps(tree).items() if wanted.budget is None else ():  # a new budget is one for all of it
        work.scope.ledger.cap(span, calls)
    return work.begin()


def check_unanswered(end: RunEnd | None, *, more: bool) -> None:
    """Raise UserError for a run that has its answer, or that used up a limit and is not given `more`."""
    if end is not None and end.status == "ok":
        raise UserError("the run has its answer; run.branch(span, ...) tries something else from any point of it")
    if end is not None and end.status == "exhausted" and not more and not _was_quota(end):
        raise UserError("the run used up a limit; give it more: run.resume(budget=N), or timeout=SECONDS")


def _was_quota(end: RunEnd | None) -> bool:
    """Whether it ended for a quota: that renews by itself, and where it has not, the next call is told so."""
    return end is not None and end.error_type == QuotaExhausted.__name__


def _asked(
    tree: Tree, wanted: Changes, settings: Settings, directory: Path, workspace: Workspace | None, *, is_branch: bool
) -> Request:
    """The request as it was, with what is wanted otherwise."""
    start, latest = tree.start, tree.resumed or tree.start
    assert start is not None
    assert latest is not None
    given = wanted.context if isinstance(wanted.context, dict) else {"context": wanted.context}
    given = {} if wanted.context is None else given
    loaded = {one["name"] for one in workspace.described()} if workspace is not None else set()
    names = [one.name for one in start.context if one.name not in loaded]
    lm = wanted.lm if wanted.lm is not None else _model(latest, "lm", latest.model)
    sub_lm = wanted.sub_lm
    if sub_lm is None:
        same = latest.sub_model in (None, latest.model)
        sub_lm = lm if same else _model(latest, "sub_lm", str(latest.sub_model))
    asked = request(
        start.task,
        context=restore(directory, settings.home, names, given) or None,
        lm=lm,
        sub_lm=sub_lm,
        mode="auto" if start.mode == AGENT else start.mode,  # type: ignore[arg-type]
        budget=_limits(tree, wanted, is_branch=is_branch),
        timeout=wanted.timeout,
        cell_timeout=start.cell_timeout,
        concurrency=start.concurrency or 16,
        sandbox=start.sandbox,
        approve=wanted.approve or latest.approve,  # type: ignore[arg-type]
        tools=again(latest.tools, own_tools(wanted.tools)),
    )
    asked = asked if workspace is None else in_session(asked, workspace)
    return replace(asked, mode=start.mode, text=asked.text if start.mode == "direct" else None)


def _limits(tree: Tree, wanted: Changes, *, is_branch: bool) -> Budget:
    """What the run may spend: the limits that held last, but for what is wanted; of its time, what is left."""
    if isinstance(wanted.budget, Budget):
        return wanted.budget
    limits = Budget(**msgspec.to_builtins(tree.limits))
    if wanted.budget is not None:
        limits = replace(limits, calls=wanted.budget)
    if limits.seconds is None or wanted.timeout is not None or is_branch:
        return limits
    left = limits.seconds - _seconds_spent(tree)
    if left <= 0:
        raise UserError(f"the {limits.seconds:g} s of this run are used; give it more: run.resume(timeout=SECONDS)")
    return replace(limits, seconds=left)


def _caps(tree: Tree) -> dict[str, int]:
    """By span, how many of the calls that it was capped to are left."""
    return {
        span: max((change.calls or 0) - _calls_below(tree, span, change.seq), 0) for span, change in tree.caps.items()
    }


def _calls_below(tree: Tree, span: str, since: int) -> int:
    """Model calls below a span that were begun since, finishing ones left out."""
    below = tree.children(tree.spans[span])
    counted = [
        node for node in below if node.type == "llm" and node.seq > since and node.attrs.get("purpose") != "finish"
    ]
    return len(counted) + sum(_calls_below(tree, node.id, since) for node in below)


def _model(start: RunStart | RunResume, option: str, name: str) -> str | dspy.BaseLM:
    if option not in start.given:
        return name
    configured = dspy.settings.lm
    if configured is not None and configured.model == name:
        return configured
    if isinstance(start, RunStart) and start.replayed:
        typed = next(typed for typed, known in COMMAND_LINE.items() if known == option)
        raise ModelError(
            "the run was replayed from a recording, and no model is there to go on with; name one: "
            f"{typed}={name!r}, or --{typed.replace('_', '-')} {name}"
        )
    raise ModelError(f"the run's model {name} was given as an object; give it again: {option}=dspy.LM(...)")


def _seconds_spent(tree: Tree) -> float:
    """Wall time the run was worked on since its limits were set, from its last booking."""
    since = -1 if tree.resumed is None else tree.resumed.seq
    return tree.budget.spent.seconds or 0.0 if tree.budget is not None and tree.budget.seq > since else 0.0


def _close_others(log: RunLog, journal: Journal, *, is_branch: bool) -> None:
    """End what was cut off and is begun anew; a model call among it was made all the same, by the run it was in."""
    for node in journal.tree.spans.values():
        if node.end is None and node.id not in journal.reopened:
            used = Usage(llm_calls=1) if node.type == "llm" and not is_branch else None
            log.emit(SpanEnd(span=node.id, status="stopped", usage=used, error="its process ended before it did"))


def _edit(origin: Run, span: str, changes: dict[str, str | None]) -> Edit:
    node = origin.tree.spans.get(span)
    if node is None:
        raise UserError(f"run {origin.id} has no span {span!r}; run.spans() lists them")
    changed = {name: value for name, value in changes.items() if value is not None}
    allowed = EDITS.get(node.type, ())
    for name in changed:
        if name not in allowed:
            can = f"what can be changed there is {' or '.join(allowed)}" if allowed else "only model and budget can"
            raise UserError(f"{span} is a span of type {node.type!r} and has no {name}; {can}")
    if len(changed) > 1:
        raise UserError(f"one change makes a branch: {' or '.join(changed)}, not both")
    if "reply" in changed:
        changed["reply"] = _in_its_form(changed["reply"], node.output or "")
    key = node.attrs.get("key")
    return Edit(node.parent, node.type, node.name, str(key) if key is not None else None, **changed)


def _in_its_form(reply: str, recorded: str) -> str:
    """A plain text given for a reply with named fields becomes its last field; the others stay as they were."""
    *_, last = [None, *_FIELD.finditer(recorded)]
    if last is None or _FIELD.search(reply):
        return reply
    return f"{recorded[: last.start(1)]}{reply}{recorded[last.end(1) :]}"


def _renamed(event: Event, run_id: str, origin: Run, span: str, edit: Edit, directory: Path) -> Event:
    event.run = run_id
    if isinstance(event, Artifact):
        event.path = str(directory / "artifacts" / Path(event.path).name)
    if isinstance(event, RunStart):
        event.parent_run, event.parent_span = origin.id, span
        event.budget = origin.tree.limits  # as they were in the end, and so the models
        if (latest := origin.tree.resumed) is not None:
            event.model, event.sub_model, event.given = latest.model, latest.sub_model, latest.given
            event.approve = latest.approve
        if edit.type == "turn" and edit.prompt is not None:
            event.task = edit.prompt
    return event


def _write(events: list[Event], directory: Path, source: Path) -> None:
    artifacts = directory / "artifacts"
    artifacts.mkdir(parents=True, mode=0o700)
    with open(os.open(directory / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.writelines(ev.encode(event) + b"\n" for event in events)
    for kept in (Path(event.path) for event in events if isinstance(event, Artifact)):
        with contextlib.suppress(FileNotFoundError):  # gone from there as well; what needs it is done again
            _link(source / "artifacts" / kept.name, artifacts / kept.name)
    for name in (KEPT, DOCUMENTS):
        if (source / name).is_file():
            shutil.copy2(source / name, directory / name)


def _link(source: Path, target: Path) -> None:
    """The same file twice, without its bytes twice where the file system can."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
