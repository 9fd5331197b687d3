"""FleetAgent: the ReAct agent a person talks to.

dspy.ReAct's signatures, tools and predictors; its loop is written once, async, with a span for every step and tool,
and it keeps one model call back, so that a spent budget or a broken tool still ends in an answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import dspy

from fleet_rlm.agent.approval import EFFECTS, Approvals
from fleet_rlm.agent.conversation import Earlier
from fleet_rlm.agent.effects import calling
from fleet_rlm.core.errors import BudgetExhausted, FleetError, ModelError
from fleet_rlm.core.events import Delta, Note
from fleet_rlm.core.journal import Record
from fleet_rlm.lm.metered import calling_as
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.rlm.unreadable import Unreadable

PRIVATE = ("_async_call_with_potential_trajectory_truncation",)
"""Methods of dspy.ReAct called here, pinned by `tests/rlm/test_dspy_contract.py`."""

OBSERVATION_CHARS = 20_000
"""Characters of a tool's result that the agent reads; the trace keeps all."""

LASTING = frozenset({"memory_write"})
"""Tools whose effect is on durable storage when they return: where a run goes on they are told and not used again, as
the user's own are, whose effects nobody knows."""

INSTRUCTIONS = """\
Answer the user's question about their data. `context` only describes the variables; their values are in a sandbox and
can be very large. Read them through the tools, never guess what they hold. Put the evidence for the answer (quotes
with their place, rows, figures) into the answer."""

IN_SESSION = """
This is one turn of a conversation: the earlier questions and answers come before it. `memory` is what you keep of it
and of your user beyond them; keep it true and short."""


class FleetAgent(dspy.ReAct):
    """The agent of one run.

    Args:
        scope: log, budget and models.
        tools: async functions the agent may call; name, signature and docstring are what the model sees.
        approvals: says which calls wait for a person.
        earlier: the conversation this is a turn of; then `memory` is an input beside `question` and `context`.
        max_iters: steps before it must answer.
    """

    def __init__(
        self,
        scope: Scope,
        tools: list[Callable[..., Any]],
        approvals: Approvals,
        *,
        earlier: Earlier | None = None,
        max_iters: int = 12,
    ) -> None:
        signature = dspy.Signature("question, context -> answer", INSTRUCTIONS)
        if earlier is not None:
            signature = dspy.Signature(
                "question, context, memory, history: dspy.History -> answer", INSTRUCTIONS + IN_SESSION
            )
        super().__init__(signature, tools=tools, max_iters=max_iters)
        self.scope = scope
        self.approvals = approvals
        self.earlier = earlier

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Decide, act, observe until finished.

        Returns:
            `answer`, `trajectory`, and `finished_early`: why it answered before it was done, or None.
        """
        trajectory: dict[str, Any] = {}
        with self.scope.ledger.hold():
            early = await self._act(trajectory, inputs)
            if early is not None:
                self.scope.log.emit(Note(level="warning", text=early))
            extracted = await Unreadable(self.scope.log, self.scope.lm.model).asked(
                lambda fault: self._answer(trajectory, inputs, fault)
            )
        return dspy.Prediction(trajectory=trajectory, finished_early=early, **extracted)

    async def _answer(self, trajectory: dict[str, Any], inputs: dict[str, Any], fault: str | None) -> dspy.Prediction:
        if fault is not None:
            _observe(trajectory, len(trajectory) // 4, "", "(unreadable reply)", {}, fault)
        with calling_as("answer", "finish"):
            return await self._ask(self.extract, trajectory, inputs)

    async def _act(self, trajectory: dict[str, Any], inputs: dict[str, Any]) -> str | None:
        unreadable = Unreadable(self.scope.log, self.scope.lm.model)
        for index in range(self.max_iters):
            name = f"step {index + 1}"
            spent = self.scope.ledger.nearly_spent()
            if spent is not None and not self.scope.log.is_recorded("step", name):
                return spent
            with self.scope.log.span("step", name):
                try:
                    with calling_as("decide", "step"):
                        action = await self._ask(self.react, trajectory, inputs)
                except BudgetExhausted as error:
                    return str(error)
                except dspy.AdapterParseError as error:
                    _observe(trajectory, index, "", "(unreadable reply)", {}, unreadable.fault(error))
                    continue
                unreadable.was_read()
                name, arguments = action.next_tool_name, action.next_tool_args or {}
                self.scope.log.emit(Delta(channel="thought", text=action.next_thought or ""))
                observation = "Completed." if name == "finish" else await self._call(index, name, arguments)
                _observe(trajectory, index, action.next_thought, name, arguments, observation)
                if name == "finish":
                    return None
        return f"all {self.max_iters} steps are used"

    async def _ask(self, predictor: Any, trajectory: dict[str, Any], inputs: dict[str, Any]) -> dspy.Prediction:
        """Call a predictor; where the prompt outgrows the window, with ever fewer of the earlier turns."""
        while True:
            history = {} if self.earlier is None else {"history": self.earlier.history()}
            try:
                return await self._async_call_with_potential_trajectory_truncation(
                    predictor, trajectory, **inputs, **history
                )
            except dspy.ContextWindowExceededError:
                if self.earlier is None or not self.earlier.shown:
                    raise
                self.earlier = self.earlier.halved()
                text = f"the prompt outgrew the context window; the latest {len(self.earlier.shown)} turns are sent on"
                self.scope.log.emit(Note(level="warning", text=text))

    async def _call(self, step: int, name: str, arguments: dict[str, Any]) -> str:
        """A tool's result, or its failure in words the model can act on."""
        shown = json.dumps(arguments, ensure_ascii=False, default=repr)
        record = self.scope.log.recorded("tool", name)
        told = _told_before(name, record)  # what was done is done again for what it leaves behind, and told as before
        is_once = name in LASTING or name not in EFFECTS
        if record is not None and told is not None and (is_once or self.approvals.declined(record.node.id)):
            return told
        log, origin = self.scope.log, self._origin() if record is not None else None
        try:
            with (
                log.span("tool", name, input=shown, record=record) as span,
                calling(log.run, step, name, arguments, origin),
            ):
                refusal = None if told is not None else await self.approvals.permit(name, arguments)
                span.output = str(await self.tools[name].acall(**arguments)) if refusal is None else refusal
                return span.output[:OBSERVATION_CHARS] if told is None or span.is_new else told
        except ModelError:
            raise  # the next step would ask the same model
        except (FleetError, TypeError, ValueError) as error:
            return f"{name} failed: {error}" if told is None else told

    def _origin(self) -> str | None:
        """The run that this one is a branch of."""
        start = self.scope.log.journal.tree.start if self.scope.log.journal is not None else None
        return start.parent_run if start is not None else None


def _told_before(name: str, record: Record | None) -> str | None:
    if record is None or not record.is_settled:
        return None
    if record.node.status != "ok":
        return f"{name} failed: {record.node.error}"
    return (record.output or "")[:OBSERVATION_CHARS]


def _observe(trajectory: dict[str, Any], index: int, thought: Any, name: Any, arguments: Any, result: str) -> None:
    trajectory[f"thought_{index}"] = thought
    trajectory[f"tool_name_{index}"] = name
    trajectory[f"tool_args_{index}"] = arguments
    trajectory[f"observation_{index}"] = result
