"""Unmodified dspy programs on the sandbox: RLM and Flex, which run code of models and of optimisers."""

from __future__ import annotations

import functools
import os

import dspy
import pytest
from dspy.utils.dummies import DummyLM

from fleet_rlm.sandbox.local import LocalSandbox

WRITTEN = """
class Counting(dspy.Module):
    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    def forward(self, text, question):
        import os
        words = len(text.split())
        found = self.predict(question=f"{question} {words}")
        return dspy.Prediction(answer=found.answer, words=words, pid=os.getpid())
"""


@pytest.fixture(params=["auto", "process"])
def factory(request: pytest.FixtureRequest) -> functools.partial[LocalSandbox]:
    made = functools.partial(LocalSandbox, tier=request.param)
    made.execution_instructions = LocalSandbox.execution_instructions  # type: ignore[attr-defined]
    return made


def test_rlm_works_over_its_input_and_submits(factory: functools.partial[LocalSandbox]) -> None:
    cells = ["lines = context.splitlines()\nprint(len(lines))", "SUBMIT(answer=len(lines), first=lines[0])"]
    lm = DummyLM([{"reasoning": "-", "code": cell} for cell in cells])
    rlm = dspy.RLM("context, query -> answer: int, first: str", interpreter_factory=factory)
    with dspy.context(lm=lm):
        result = rlm(context="a line\n" * 1_000, query="how many?")
    assert (result.answer, result.first) == (1_000, "a line")
    assert result.trajectory[0]["output"].strip() == "1000"


def test_flex_starts_as_a_prediction(factory: functools.partial[LocalSandbox]) -> None:
    flex = dspy.Flex("question -> answer", interpreter_factory=factory)
    with dspy.context(lm=DummyLM([{"answer": "because"}])):
        assert flex(question="why?").answer == "because"


def test_flex_runs_a_written_module_in_the_sandbox_and_not_here(factory: functools.partial[LocalSandbox]) -> None:
    flex = dspy.Flex("text, question -> answer: str, words: int, pid: int", interpreter_factory=factory)
    flex.load_state({"module_src": WRITTEN})
    with dspy.context(lm=DummyLM([{"answer": "three"}])):
        result = flex(text="one two three", question="how many words?")
    assert (result.answer, result.words) == ("three", 3)
    assert result.pid != os.getpid()
