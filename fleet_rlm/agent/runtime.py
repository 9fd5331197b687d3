"""The runtime: a task becomes a run.

`start` checks everything that costs nothing, binds a `Run`, and lets the work go on in the background; `run` and `arun`
wait for it. The mode decides who works: "direct" asks the model once, "rlm_only" one recursive language model,
"tools_only" the agent with plain code, "agent" the agent that may delegate.
"""

from __future__ import annotations

import datetime
import functools
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleet_rlm.agent.approval import check_answerable
from fleet_rlm.agent.plan import Plan
from fleet_rlm.agent.request import Request, request, with_options_of
from fleet_rlm.agent.waiting import await_for, wait_for
from fleet_rlm.agent.work import Ended, Opened, Work
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.events import Note, RunStart, Variable
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.redaction import Redactor
from fleet_rlm.core.run import Run
from fleet_rlm.core.settings import Settings
from fleet_rlm.lm.recording import Replay


@with_options_of(request)
def start(task: str, **options: Any) -> Run:
    """Start a run and return it at once; no model has been called yet.

    Takes the options of `run`.

    Raises:
        UserError, ModelError: the task cannot be carried out as written; nothing was started.
    """
    return begin(request(task, **options))


def begin(
    asked: Request,
    *,
    workspace: Workspace | None = None,
    sandbox: Opened | None = None,
    session: str | None = None,
    ended: Ended | None = None,
) -> Run:
    """Start the run of a checked request, in a session as a turn of it.

    Args:
        workspace: what the session lets its agent work with; the model is then sent its history and memory too.
        sandbox: opens the session's own sandbox; without it the run has one of its own.
        session: the session's id, for the log.
        ended: is awaited when the outcome is known; the run is over when it is.
    """
    documents = None
    if workspace is not None:
        workspace, documents = workspace.of_turn()
        asked = in_session(asked, workspace)
    log, fault = _open_log(asked)
    run = Run(log)
    log.emit(
        RunStart(
            task=asked.task,
            mode=asked.mode,
            model=asked.lm.name,
            sub_model=asked.sub_lm.name,
            offline=asked.lm.offline,
            given=asked.given,
            budget=asked.budget.limits(),
            context=asked.context,
            sandbox=asked.sandbox,
            cell_timeout=asked.cell_timeout,
            concurrency=asked.concurrency,
            session=session,
            approve=asked.approve,
            tools=[str(one.name) for one in asked.tools],
            replayed=isinstance(asked.tape, Replay),
        )
    )
    if isinstance(asked.tape, Replay):
        log.emit(Note(level="info", text=f"replies are replayed from {asked.tape.path}; no model is called"))
    if fault is not None:
        log.emit(Note(level="warning", text=fault))
    return Work(asked, run, workspace=workspace, documents=documents, opened=sandbox, ended=ended).begin()


def in_session(asked: Request, workspace: Workspace) -> Request:
    """The request as a turn: with the session's documents, and the agent wherever the way of working is left to us,
    because only the agent has the session's tools."""
    loaded = [Variable(**one) for one in workspace.described() if one["name"] not in asked.values]
    asked = replace(asked, values={**workspace.values(), **asked.values}, context=[*asked.context, *loaded])
    return replace(asked, mode="agent", text=None) if asked.auto else asked


@with_options_of(request)
def run(task: str, **options: Any) -> Run:
    """Answer a question over data of any size, and block until it is answered.

    Args:
        task: the question.
        context: a value (then named `context` in the sandbox) or a dict of variable name to value: str, bytes,
            DataFrame, Series, Arrow table, ndarray, list, dict, or a `pathlib.Path` to a file or directory.
        lm: a model name or a `dspy.LM`; by default what FLEET_LM or dspy says, else the rule-based stand-in.
        sub_lm: the model of sub-queries and children; by default FLEET_SUB_LM, else `lm`.
        mode: "auto" (direct if the data fits a prompt, else the agent), "rlm_only", "tools_only" or "direct".
        budget: a number of model calls, or a `Budget`.
        timeout: seconds for the whole run.
        cell_timeout: seconds one cell of generated code may compute.
        depth: levels of recursion: 0 no sub-queries, 1 sub-queries, 2 (default) sub-RLMs too.
        concurrency: sub-queries in flight at once.
        sandbox: "local" (confined) or "process" (not confined).
        approve: which tools of the agent wait for a person before they act: "auto" none, "edits" those that go outside
            (fetch, clone), "ask" those that change the session's memory and buffers too. `run.asks` holds what is
            waited for, `run.approve()` decides; so it is an option of `start`, and refused here, where nobody has
            the run before its end.
        tools: functions of your own, plain or async, or `dspy.Tool`s, that the agent may call beside ours. A model
            reads name, docstring and type hints; what they do runs in this process with all its rights.
        record: a file to which the replies of the models are appended.
        replay: such a file, from which this question is answered again without calling a model.

    Returns:
        the `Run`; `run.answer` is the answer, `run.status` "ok", or "exhausted" where a limit forced an early answer.

    Raises:
        UserError, ModelError: as `start`.
        FleetError: the run ended without an answer; `error.run` holds the trace.
    """
    check_answerable(options)
    return wait_for(functools.partial(start, task, **options))


@with_options_of(request)
async def arun(task: str, **options: Any) -> Run:
    """`run` for async code: cancelling it stops the run and keeps its trace."""
    check_answerable(options)
    return await await_for(functools.partial(start, task, **options))


@with_options_of(request)
def plan(task: str, **options: Any) -> Plan:
    """What `run(task, **options)` would do and send first; no model is called and no sandbox started.

    Raises:
        UserError, ModelError: as `start`.
    """
    return Plan(request(task, **options))


def new_run(settings: Settings) -> tuple[str, Path]:
    """A name for a run that is about to begin, and the directory of its log."""
    run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    return run_id, settings.home / "runs" / run_id


def _open_log(asked: Request) -> tuple[RunLog, str | None]:
    run_id, directory = new_run(asked.settings)
    redactor = Redactor({*asked.lm.secrets, *asked.sub_lm.secrets})
    try:
        return RunLog(run_id, directory, redactor), None
    except OSError as error:
        text = f"the trace is kept in memory only: cannot write to {directory.parent} ({error})"
        return RunLog(run_id, redactor=redactor), text
