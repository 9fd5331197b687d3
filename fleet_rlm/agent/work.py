"""The work behind one run: does the turn, ends it however it ends, cancels it, changes its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import dspy
import msgspec

from fleet_rlm.agent.agent import FleetAgent
from fleet_rlm.agent.approval import Approvals
from fleet_rlm.agent.conversation import HISTORY, MEMORY, Earlier, as_value
from fleet_rlm.agent.documents.turn import TurnDocuments
from fleet_rlm.agent.kept import is_small, keep
from fleet_rlm.agent.request import Request
from fleet_rlm.agent.tools import agent_tools
from fleet_rlm.agent.tools.own import hand
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.errors import BudgetExhausted, FleetError, ModelError, RunFailed, RunStopped, UserError
from fleet_rlm.core.events import LimitChange, Note, RunEnd, RunStatus, SandboxState, SpanEnd
from fleet_rlm.core.loop import submit
from fleet_rlm.core.run import Run
from fleet_rlm.core.settings import Settings
from fleet_rlm.lm.call import call
from fleet_rlm.lm.metered import calling_as
from fleet_rlm.rlm.children import answer_in
from fleet_rlm.rlm.describe import describe, prompt_text
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.rlm.unreadable import Unreadable
from fleet_rlm.sandbox.base import Sandbox
from fleet_rlm.sandbox.registry import sandbox_named

NO_DATA = "(no data was given)"
"""What stands for the context of a question without any."""

UNCONFINED = (
    'the tools ask before they act, but code of the model does not, and nothing confines it (sandbox "process")'
)
"""What a run says whose policy cannot hold for all that it does."""

Opened = Callable[[Request, Scope], AbstractAsyncContextManager[Sandbox]]
"""Gives a run its sandbox, with the values of the request in it."""

Ended = Callable[[Run, RunEnd], Awaitable[None]]
"""Is told how a run ends, before its log says so; what it emits stands in that log."""


class Work:
    """The task of one run, on the background loop.

    Args:
        workspace: what a session lets its agent work with.
        documents: those of the workspace.
        opened: opens the sandbox; by default one of the run's own.
        ended: is awaited when the outcome is known.
        is_kept: the data is kept already, from when the run began.
    """

    def __init__(
        self,
        asked: Request,
        run: Run,
        *,
        workspace: Workspace | None = None,
        documents: TurnDocuments | None = None,
        opened: Opened | None = None,
        ended: Ended | None = None,
        is_kept: bool = False,
    ) -> None:
        self.asked = asked
        self.run = run
        self.workspace = workspace
        self.documents = documents
        self.opened = opened or _opened
        self.ended = ended
        self.is_kept = is_kept
        self.scope = Scope.create(
            run.log,
            asked.budget,
            asked.lm.lm,
            asked.sub_lm.lm,
            cell_timeout=asked.cell_timeout,
            concurrency=asked.concurrency,
            unknown_window=asked.settings.window,
            ask=call if asked.tape is None else asked.tape.call,
        )
        self.approvals = Approvals(
            run.log,
            asked.approve,
            pause=self.paused,
            is_loaded=lambda address: any(one.source == address for one in documents or ()),
        )
        self.deadline: asyncio.Timeout | None = None
        self.task: asyncio.Task[Any] | None = None
        self.keeping: asyncio.Task[None] | None = None
        self.ending = False

    def begin(self) -> Run:
        """Bind the work to its run and let it go on in the background."""
        hand(self.run, self.asked.tools)
        self.run.attach(submit(self.supervise()), lambda: submit(self.cancel()), self.limit, self.scope.ledger.close)
        return self.run

    async def supervise(self) -> None:
        self.task = asyncio.current_task()
        log = self.run.log
        try:
            await self.keep()
            with self.scope.active():
                async with asyncio.timeout(self.scope.ledger.seconds_left) as self.deadline:
                    prediction = await self.turn()
        except BaseException as error:
            told = _told(self.run, error, self.scope.ledger.budget.seconds)
            await self.end(RunEnd(status=_status(told), error_type=type(told).__name__, error=str(told)))
            told.args = (self.run.error,)  # as the log has it, without secrets: a notebook keeps what is raised
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
                    prediction = await _worked(asked, scope, sandbox, self.workspace, self.approvals)
            span.output = str(prediction.answer)
            return prediction

    async def keep(self) -> None:
        """Keep the data, so that the run can be resumed: small data before anything is asked, large data meanwhile."""
        log, asked, documents = self.run.log, self.asked, self.documents
        if log.directory is None:
            return
        if documents is not None:
            self.keep_documents()
        if self.is_kept:
            return
        own = {name: one for name, one in asked.values.items() if documents is None or not documents.gives(name, one)}
        keeping = asyncio.to_thread(_keep, self.run, asked.settings, own)
        if is_small(own):
            await keeping
        else:
            self.keeping = asyncio.create_task(keeping)

    def keep_documents(self) -> None:
        """Keep which documents the turn has begun with, and which it has left in the session."""
        if self.documents is not None and self.run.log.directory is not None:
            with _told_if_not_kept(self.run):
                self.documents.record(self.run.log.directory)

    async def end(self, end: RunEnd) -> None:
        """Write the last event, whatever becomes of whoever wants to know first."""
        self.ending = True
        log = self.run.log
        try:
            for text in self.documents.merge() if self.documents is not None else ():
                log.emit(Note(level="warning", text=text))
            if self.ended is not None:
                await self.ended(self.run, end)
            self.keep_documents()
        finally:
            if log.journal is not None:  # what was gone on with and never reached again
                for span in [span for span in self.run.tree.spans.values() if span.end is None]:
                    log.emit(SpanEnd(span=span.id, status="stopped"))
                if log.journal.is_unchanged:
                    text = "the run ended before it came to what the branch changes; it went another way"
                    log.emit(Note(level="warning", text=text))
            log.emit(end)

    async def cancel(self) -> None:
        if self.task is not None and not self.ending:  # stopped twice, it would not be told to whoever keeps it
            self.task.cancel()

    def limit(self, span: str | None, **limits: float | None) -> None:
        log, ledger = self.run.log, self.scope.ledger
        if span is None:
            ledger.change(**limits)
            if "seconds" in limits:
                submit(self._reschedule())
            log.emit(LimitChange(budget=ledger.budget.limits()))
            told = ", ".join(f"{'none' if value is None else f'{value:g}'} {name}" for name, value in limits.items())
            log.emit(Note(level="info", text=f"the run's limits were changed while it went on: {told}"))
        elif span not in self.run.tree.spans:
            raise UserError(f"run {self.run.id} has no span {span!r}")
        elif set(limits) != {"calls"}:
            raise UserError("a part of a run is limited in model calls only: run.limit(span=..., calls=N)")
        else:
            calls: int = limits["calls"]  # type: ignore[assignment]
            ledger.cap(span, calls)
            log.emit(LimitChange(span=span, budget=ledger.budget.limits(), calls=calls))
            log.emit(
                Note(span=span, level="info", text=f"{calls} more model calls may be made in this part of the run")
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, a person is waited for: the run is not cut off, and its time stands still."""
        try:
            with self.scope.ledger.paused():
                self._set_deadline()
                yield
        finally:
            self._set_deadline()

    async def _reschedule(self) -> None:
        self._set_deadline()

    def _set_deadline(self) -> None:
        left = None if self.scope.ledger.is_paused else self.scope.ledger.seconds_left
        if self.deadline is not None:
            self.deadline.reschedule(None if left is None else asyncio.get_running_loop().time() + left)


def _keep(run: Run, settings: Settings, values: dict[str, Any]) -> None:
    with _told_if_not_kept(run):
        if run.log.directory is not None:
            keep(values, run.log.directory, settings.home, settings.keep_mb)


@contextmanager
def _told_if_not_kept(run: Run) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"the data is not kept, so resuming this run will ask for it again ({error.strerror})"
        run.log.emit(Note(level="warning", text=text))


def _told(run: Run, error: BaseException, seconds: float | None) -> FleetError:
    """What to raise for a run that has no answer."""
    told: FleetError
    if isinstance(error, asyncio.CancelledError):
        told = RunStopped("the run was stopped; its trace is kept")
    elif isinstance(error, TimeoutError):
        text = f"the run was cut off after {seconds:g} s without an answer; raise the timeout"
        told = BudgetExhausted("seconds", text)
    elif isinstance(error, BudgetExhausted) and error.limit == "calls":  # one that got lost was the one held back
        text = f"all {run.budget.spent.calls} model calls are made, none is left to answer: run.resume(budget=N)"
        told = BudgetExhausted("calls", text)
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


async def _worked(
    asked: Request, scope: Scope, sandbox: Sandbox, workspace: Workspace | None, approvals: Approvals
) -> dspy.Prediction:
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
    if asked.approve != "auto" and asked.sandbox == "process":
        scope.log.emit(Note(level="warning", text=UNCONFINED))
    tools = agent_tools(scope, sandbox, list(told), may_delegate=asked.mode == "agent", workspace=workspace)
    tools += asked.tools
    inputs = {"question": asked.task, "context": "\n\n".join(map(prompt_text, told.values())) or NO_DATA}
    if workspace is not None:
        inputs["memory"] = workspace.memory_text()
    return await FleetAgent(scope, tools, approvals, earlier=earlier).acall(**inputs)


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
    sandbox = sandbox_named(asked.sandbox, asked.values.values(), asked.settings.sandbox_tier)
    try:
        with scope.log.span("sandbox", asked.sandbox):
            await sandbox.astart()
            scope.log.emit(started(asked.sandbox, sandbox))
            for name, value in asked.values.items():
                await sandbox.aput(name, value)
        yield sandbox
    finally:
        await sandbox.aclose()


def started(backend: str, sandbox: Sandbox) -> SandboxState:
    """What a run's log says of the sandbox its code runs in."""
    report = sandbox.isolation
    return SandboxState(
        state="started",
        backend=backend,
        tier=report.tier,
        guarantees=report.guarantees,
        missing=list(report.missing),
    )
