"""The engine behind `fleet/offline`: a request is read, its role recognised, and a reply written by rules.

Deterministic and without any I/O. Token usage is reported as unknown: nothing was tokenised.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from dspy.lm15 import Message, Request, Response, TextPart, Usage, response_to_events

from fleet_rlm.lm.offline import direct, react, subquery
from fleet_rlm.lm.offline.chat import Prompt, read, write
from fleet_rlm.lm.offline.variables import read_variables, split_question
from fleet_rlm.lm.offline.wording import LABEL, NAME, by_itself, labelled, refusal
from fleet_rlm.lm.offline.work import Work, next_cell, read_history

_CALLS = re.compile(r"You have max ([\d,]+) sub-LLM calls")
_SUBMIT = re.compile(r"`SUBMIT\((\w+)")


class OfflineEngine:
    """dspy's `Engine` contract over rules."""

    def complete(self, request: Request) -> Response:
        message = Message.assistant([TextPart(reply(read(request)))])
        return Response(id=None, model=NAME, message=message, finish_reason="stop", usage=Usage())

    def stream(self, request: Request) -> Iterator[Any]:
        yield from response_to_events(self.complete(request))

    def close(self) -> None:
        """Nothing is held open."""


class AsyncOfflineEngine:
    """dspy's `AsyncEngine` contract over the same rules."""

    def __init__(self, engine: OfflineEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        return self._engine.complete(request)

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        for event in self._engine.stream(request):
            yield event

    async def aclose(self) -> None:
        """Nothing is held open."""


def reply(prompt: Prompt) -> str:
    """The text of the reply to a request."""
    if prompt.inputs is None:
        return subquery.reply(prompt.text)
    return write(prompt, _fields(prompt))


def _fields(prompt: Prompt) -> dict[str, Any]:
    outputs, inputs = prompt.outputs, prompt.inputs or {}
    if "repl_history" in inputs:
        return _action(prompt) if {"reasoning", "code"} == set(outputs) else _every(prompt, _extracted(prompt))
    if "trajectory" in inputs:
        return react.step(prompt) if "next_tool_name" in outputs else _every(prompt, react.final(prompt))
    if "question" in inputs and "answer" in outputs:
        return _every(prompt, direct.answer(prompt.input("question"), prompt.input("context")))
    return _every(prompt, refusal())


def _action(prompt: Prompt) -> dict[str, Any]:
    question, variables = split_question(read_variables(prompt.input("variables_info")))
    done, _, allowed = prompt.input("iteration").strip().partition("/")
    calls = _CALLS.search(prompt.instructions)
    output = _SUBMIT.search(prompt.instructions)
    work = Work(
        question=question,
        variables=variables,
        steps=read_history(prompt.input("repl_history")),
        submit=f"SUBMIT({output[1] if output else 'answer'}=",
        last=bool(allowed) and done == allowed,
        recursive="sub_rlm_batched(" in prompt.instructions,
        calls=int(calls[1].replace(",", "")) if calls else 0,
    )
    cell = next_cell(work)
    return {"reasoning": cell.thought, "code": f"```python\n{cell.text()}\n```"}


def _extracted(prompt: Prompt) -> str:
    """The best that the history holds when the loop ends without SUBMIT: an answer, else the last good output."""
    steps = [step for step in read_history(prompt.input("repl_history")) if step.code and not step.failed]
    answers = [step.output for step in steps if LABEL in step.output]
    if answers:
        return labelled(answers[-1])
    useful = [step.output for step in steps if step.output and not step.output.startswith("(no output")]
    if not useful:
        return refusal("The work ended before anything was found.")
    return labelled(f"I could not finish. What I know so far:\n{useful[-1][:3000]}")


def _every(prompt: Prompt, text: str) -> dict[str, Any]:
    """Every output field filled: the answer in the field of that name or the only one, a note in the others.

    A field that is no text cannot carry a refusal; it gets the sentence all the same, so that reading it fails loudly
    instead of yielding a made-up figure.
    """
    others = [name for name in prompt.outputs if name == "reasoning"]
    text = by_itself(text, prompt.input("question")) if prompt.turns else text
    return {name: "I applied rules to the text above." if name in others else text for name in prompt.outputs}
