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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dspy
import msgspec

from fleet_rlm.agent.agent import FleetAgent
from fleet_rlm.agent.plan import Plan
from fleet_rlm.agent.request import Request, request, with_options_of
from fleet_rlm.agent.tools import agent_tools
from fleet_rlm.core.errors import BudgetExhausted, FleetError, ModelError, RunFailed, RunStopped, UserError
from fleet_rlm.core.events import Note, RunEnd, RunStart, SandboxState
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import submit
from fleet_rlm.core.redaction import Redactor
from fleet_rlm.core.run import Run
from fleet_rlm.lm.metered import calling_as
from fleet_rlm.rlm.children import answer_in
from fleet_rlm.rlm.describe import prompt_text
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.rlm.unreadable import Unreadable
from fleet_rlm.sandbox.base import Sandbox
from fleet_rlm.sandbox.registry import sandbox_named

NO_DATA = "(no data was given)"
"""What stands for the context of a question without any."""


@with_options_of(request)
def start(task: str, **options: Any) -> Run:
    """Start a run and return it at once; no model has been called yet.

    Takes the options of `run`.

    Raises:
        UserError, ModelError: the task cannot be carried out as written; nothing was started.
    """
    return begin(request(task, **options))


def begin(asked: Request) -> Run:
    """Start the run of a checked request."""
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
        )
    )
    if fault is not None:
        log.emit(Note(level="warning", text=fault))
    work = _Work(asked, run)
    run.attach(submit(work.supervise()), lambda: submit(work.cancel()), work.limit)
    return run


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

    def __init__(self, asked: Request, run: Run) -> None:
        self.asked = asked
        self.run = run
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
                    prediction = await _turn(self.asked, self.scope)
        except BaseException as error:
            raise _ended(self.run, error, self.scope.ledger.budget.seconds) from error
        else:
            early = prediction.finished_early
            if not prediction.answer:
                log.emit(Note(level="warning", text="the model gave an empty answer"))
            log.emit(RunEnd(status="exhausted" if early else "ok", answer=prediction.answer, error=early))
        finally:
            log.close()

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


def _ended(run: Run, error: BaseException, seconds: float | None) -> FleetError:
    """Close the log of a run that has no answer; returns what to raise."""
    told: FleetError
    if isinstance(error, asyncio.CancelledError):
        status, told = "stopped", RunStopped("the run was stopped; its trace is kept")
    elif isinstance(error, TimeoutError):
        text = f"the run was cut off after {seconds:g} s without an answer; raise the timeout"
        status, told = "exhausted", BudgetExhausted("seconds", text)
    elif isinstance(error, BudgetExhausted):
        status, told = "exhausted", error
    elif isinstance(error, FleetError):
        status, told = "failed", error
    else:
        status, told = "failed", RunFailed(f"the run failed: {type(error).__name__}: {error}")
    told.run = run
    run.log.emit(RunEnd(status=status, error_type=type(told).__name__, error=str(told)))  # type: ignore[arg-type]
    return told


async def _turn(asked: Request, scope: Scope) -> dspy.Prediction:
    with scope.log.span("turn", asked.mode, input=asked.task) as span:
        if asked.text is not None:
            prediction = await _direct(asked, scope)
        else:
            async with _opened(asked, scope) as sandbox:
                prediction = await _worked(asked, scope, sandbox)
        span.output = str(prediction.answer)
        return prediction


async def _direct(asked: Request, scope: Scope) -> dspy.Prediction:
    """One call: a plain model beats recursion on what it can read at once (arXiv 2512.24601, fig. 1)."""
    predict = dspy.Predict(
        dspy.Signature("question, context -> answer", "Answer the question from the context; quote your evidence.")
    )
    context = asked.text or NO_DATA

    async def ask(fault: str | None) -> dspy.Prediction:
        question = asked.task if fault is None else f"{asked.task}\n\n({fault})"
        with calling_as("direct", "step"):
            return await predict.acall(question=question, context=context)

    try:
        prediction = await Unreadable(scope.log, asked.lm.name).asked(ask)
    except dspy.ContextWindowExceededError as error:
        raise ModelError(
            f"the data does not fit the context window of {asked.lm.name}; use mode 'auto' with a smaller "
            "FLEET_DIRECT_CHARS, or mode 'rlm_only'"
        ) from error
    return dspy.Prediction(answer=prediction.answer, finished_early=None)


async def _worked(asked: Request, scope: Scope, sandbox: Sandbox) -> dspy.Prediction:
    names = list(asked.values)
    if asked.mode == "rlm_only":
        return await answer_in(scope, sandbox.afork, asked.task, names, "rlm")
    tools = agent_tools(scope, sandbox, names, may_delegate=asked.mode == "agent")
    described = "\n\n".join(prompt_text(msgspec.to_builtins(variable)) for variable in asked.context)
    return await FleetAgent(scope, tools).acall(question=asked.task, context=described)


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
