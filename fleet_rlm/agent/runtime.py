"""The runtime: a task becomes a run.

`start` checks everything that costs nothing, binds a `Run`, and lets the work go on in the background; `run` and `arun`
wait for it. The mode decides who works: "direct" asks the model once, "rlm_only" one recursive language model,
"tools_only" the agent with plain code, "agent" the agent that may delegate.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import dspy
import msgspec

from fleet_rlm.agent.agent import FleetAgent
from fleet_rlm.agent.conversation import HISTORY, MEMORY, Earlier, as_value
from fleet_rlm.agent.plan import Plan
from fleet_rlm.agent.request import Request, request, with_options_of
from fleet_rlm.agent.tools import agent_tools
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.errors import BudgetExhausted, FleetError, ModelError, RunFailed, RunStopped, UserError
from fleet_rlm.core.events import Note, RunEnd, RunStart, RunStatus, SandboxState, Variable
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import submit
from fleet_rlm.core.redaction import Redactor
from fleet_rlm.core.run import Run
from fleet_rlm.lm.metered import calling_as
from fleet_rlm.rlm.children import answer_in
from fleet_rlm.rlm.describe import describe, prompt_text
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.rlm.unreadable import Unreadable
from fleet_rlm.sandbox.base import Sandbox
from fleet_rlm.sandbox.registry import sandbox_named

NO_DATA = "(no data was given)"
"""What stands for the context of a question without any."""

Opened = Callable[[Request, Scope], AbstractAsyncContextManager[Sandbox]]
"""Gives a run its sandbox, with the values of the request in it."""

Ended = Callable[[Run, RunEnd], Awaitable[None]]
"""Is told how a run ends, before its log says so; what it emits stands in that log."""


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
    if workspace is not None:
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
            budget=asked.budget.limits(),
            context=asked.context,
            sandbox=asked.sandbox,
            cell_timeout=asked.cell_timeout,
            concurrency=asked.concurrency,
            session=session,
        )
    )
    if fault is not None:
        log.emit(Note(level="warning", text=fault))
    work = _Work(asked, run, workspace, sandbox or _opened, ended)
    run.attach(submit(work.supervise()), lambda: submit(work.cancel()), work.limit)
    return run


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

    Returns:
        the `Run`; `run.answer` is the answer, `run.status` "ok", or "exhausted" where a limit forced an early answer.

    Raises:
        UserError, ModelError: as `start`.
        FleetError: the run ended without an answer; `error.run` holds the trace.
    """
    started = start(task, **options)
    try:
        return started.wait()
    except KeyboardInterrupt:
        started.stop()
        raise


@with_options_of(request)
async def arun(task: str, **options: Any) -> Run:
    """`run` for async code: cancelling it stops the run and keeps its trace."""
    starting = asyncio.ensure_future(asyncio.to_thread(start, task, **options))
    try:
        return await (await asyncio.shield(starting))
    except asyncio.CancelledError:
        with contextlib.suppress(FleetError):
            (await starting).stop()  # a thread cannot be cancelled: let it start the run, then stop that
        raise


@with_options_of(request)
def plan(task: str, **options: Any) -> Plan:
    """What `run(task, **options)` would do and send first; no model is called and no sandbox started.

    Raises:
        UserError, ModelError: as `start`.
    """
    return Plan(request(task, **options))


class _Work:
    """The task behind one run: does it, cancels it, changes its limits. Lives on the background loop."""

    def __init__(
        self, asked: Request, run: Run, workspace: Workspace | None, opened: Opened, ended: Ended | None
    ) -> None:
        self.asked = asked
        self.run = run
        self.workspace = workspace
        self.opened = opened
        self.ended = ended
        self.scope = Scope.create(
            run.log,
            asked.budget,
            asked.lm.lm,
            asked.sub_lm.lm,
            cell_timeout=asked.cell_timeout,
            concurrency=asked.concurrency,
            unknown_window=asked.settings.window,
        )
        self.deadline: asyncio.Timeout | None = None
        self.task: asyncio.Task[Any] | None = None

    async def supervise(self) -> None:
        self.task = asyncio.current_task()
        log = self.run.log
        try:
            with self.scope.active():
                async with asyncio.timeout(self.scope.ledger.seconds_left) as self.deadline:
                    prediction = await self.turn()
        except BaseException as error:
            told = _told(self.run, error, self.scope.ledger.budget.seconds)
            await self.end(RunEnd(status=_status(told), error_type=type(told).__name__, error=str(told)))
            raise told from error
        else:
            early = prediction.finished_early
            if not prediction.answer:
                log.emit(Note(level="warning", text="the model gave an empty answer"))
            await self.end(RunEnd(status="exhausted" if early else "ok", answer=prediction.answer, error=early))
        finally:
            log.close()

    async def turn(self) -> dspy.Prediction:
        asked, scope = self.asked, self.scope
        with scope.log.span("turn", asked.mode, input=asked.task) as span:
            if asked.text is not None:
                prediction = await _direct(asked, scope, self.workspace)
            else:
                async with self.opened(asked, scope) as sandbox:
                    prediction = await _worked(asked, scope, sandbox, self.workspace)
            span.output = str(prediction.answer)
            return prediction

    async def end(self, end: RunEnd) -> None:
        """Write the last event, whatever becomes of whoever wants to know first."""
        try:
            if self.ended is not None:
                await self.ended(self.run, end)
        finally:
            self.run.log.emit(end)

    async def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def limit(self, span: str | None, **limits: float | None) -> None:
        if span is None:
            self.scope.ledger.change(**limits)
            if "seconds" in limits:
                submit(self._reschedule())
        elif span not in self.run.tree.spans:
            raise UserError(f"run {self.run.id} has no span {span!r}")
        elif set(limits) != {"calls"}:
            raise UserError("a part of a run is limited in model calls only: run.limit(span=..., calls=N)")
        else:
            self.scope.ledger.cap(span, limits["calls"])  # type: ignore[arg-type]

    async def _reschedule(self) -> None:
        left = self.scope.ledger.seconds_left
        if self.deadline is not None:
            self.deadline.reschedule(None if left is None else asyncio.get_running_loop().time() + left)


def _told(run: Run, error: BaseException, seconds: float | None) -> FleetError:
    """What to raise for a run that has no answer."""
    told: FleetError
    if isinstance(error, asyncio.CancelledError):
        told = RunStopped("the run was stopped; its trace is kept")
    elif isinstance(error, TimeoutError):
        text = f"the run was cut off after {seconds:g} s without an answer; raise the timeout"
        told = BudgetExhausted("seconds", text)
    elif isinstance(error, FleetError):
        told = error
    else:
        told = RunFailed(f"the run failed: {type(error).__name__}: {error}")
    told.run = run
    return told


def _status(told: FleetError) -> RunStatus:
    if isinstance(told, RunStopped):
        return "stopped"
    return "exhausted" if isinstance(told, BudgetExhausted) else "failed"


async def _direct(asked: Request, scope: Scope, workspace: Workspace | None) -> dspy.Prediction:
    """One call: a plain model beats recursion on what it can read at once (arXiv 2512.24601, fig. 1)."""
    instructions = "Answer the question from the context; quote your evidence."
    predict = dspy.Predict(dspy.Signature("question, context -> answer", instructions))
    inputs: dict[str, Any] = {"context": asked.text or NO_DATA}
    if workspace is not None:
        signature = "question, context, memory, history: dspy.History -> answer"
        predict = dspy.Predict(dspy.Signature(signature, f"{instructions} It is one turn of a conversation."))
        inputs |= {"memory": workspace.memory_text(), "history": _earlier(scope, workspace).history()}

    async def ask(fault: str | None) -> dspy.Prediction:
        question = asked.task if fault is None else f"{asked.task}\n\n({fault})"
        with calling_as("direct", "step"):
            return await predict.acall(question=question, **inputs)

    try:
        prediction = await Unreadable(scope.log, asked.lm.name).asked(ask)
    except dspy.ContextWindowExceededError as error:
        raise ModelError(
            f"the data does not fit the context window of {asked.lm.name}; use mode 'auto' with a smaller "
            "FLEET_DIRECT_CHARS, or mode 'rlm_only'"
        ) from error
    return dspy.Prediction(answer=prediction.answer, finished_early=None)


async def _worked(asked: Request, scope: Scope, sandbox: Sandbox, workspace: Workspace | None) -> dspy.Prediction:
    told: dict[str, dict[str, str]] = {one.name: msgspec.to_builtins(one) for one in asked.context}
    earlier = None if workspace is None else _earlier(scope, workspace)
    if workspace is not None and earlier is not None:
        values = _remembered(asked, workspace, earlier)
        for name, value in values.items():
            await sandbox.aput(name, value)
        told |= {HISTORY: earlier.described()} if HISTORY in values else {}
        told |= {MEMORY: describe(MEMORY, values[MEMORY], len(values[MEMORY]))} if MEMORY in values else {}
    if asked.mode == "rlm_only":
        return await answer_in(scope, sandbox.afork, asked.task, list(told), "rlm", told=told)
    tools = agent_tools(scope, sandbox, list(told), may_delegate=asked.mode == "agent", workspace=workspace)
    inputs = {"question": asked.task, "context": "\n\n".join(map(prompt_text, told.values())) or NO_DATA}
    if workspace is not None:
        inputs["memory"] = workspace.memory_text()
    return await FleetAgent(scope, tools, earlier=earlier).acall(**inputs)


def _earlier(scope: Scope, workspace: Workspace) -> Earlier:
    """What the model is sent of the conversation so far; what it is not sent is told."""
    earlier = Earlier.fitting(workspace.history, scope.lm.window)
    if earlier.cut:
        text = f"the model is sent the latest {len(earlier.shown):,} of {earlier.total:,} turns; all are `{HISTORY}`"
        scope.log.emit(Note(level="info", text=text))
    return earlier


def _remembered(asked: Request, workspace: Workspace, earlier: Earlier) -> dict[str, Any]:
    """What of the conversation the sandbox holds: turns that no prompt shows, and where the agent is left out, all."""
    alone = asked.mode == "rlm_only"
    values: dict[str, Any] = {HISTORY: as_value(workspace.history)} if earlier.cut or (alone and earlier.total) else {}
    if alone and workspace.memory_text():
        values[MEMORY] = workspace.memory_text()
    return {name: value for name, value in values.items() if name not in asked.values}


@asynccontextmanager
async def _opened(asked: Request, scope: Scope) -> AsyncIterator[Sandbox]:
    sandbox = sandbox_named(asked.sandbox, asked.values.values())
    try:
        with scope.log.span("sandbox", asked.sandbox):
            await sandbox.astart()
            report = sandbox.isolation
            scope.log.emit(
                SandboxState(
                    state="started",
                    backend=asked.sandbox,
                    tier=report.tier,
                    guarantees=report.guarantees,
                    missing=list(report.missing),
                )
            )
            for name, value in asked.values.items():
                await sandbox.aput(name, value)
        yield sandbox
    finally:
        await sandbox.aclose()


def _open_log(asked: Request) -> tuple[RunLog, str | None]:
    run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    redactor = Redactor({*asked.lm.secrets, *asked.sub_lm.secrets})
    try:
        return RunLog(run_id, asked.settings.home / "runs" / run_id, redactor), None
    except OSError as error:
        where = asked.settings.home / "runs"
        return RunLog(run_id, redactor=redactor), f"the trace is kept in memory only: cannot write to {where} ({error})"
