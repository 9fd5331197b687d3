"""Unmodified dspy programs run on the local sandbox."""

from __future__ import annotations

import functools
from typing import Any

import dspy
import pytest
from dspy.primitives.code_interpreter import CodeExecutionError, CodeInterpreterError, FinalOutput
from dspy.utils.dummies import DummyLM

from fleet_rlm.sandbox.local import LocalSandbox


def scripted(*cells: str) -> DummyLM:
    return DummyLM([{"reasoning": "think", "code": cell} for cell in cells])


def test_an_rlm_reads_its_input_queries_and_submits() -> None:
    sub = DummyLM([{"text": "x"}] * 4)
    rlm = dspy.RLM("context, query -> answer", interpreter_factory=LocalSandbox, sub_lm=sub, max_iters=5)
    cells = (
        "print(len(context)); needle = context.index('needle')",
        "context = 'overwritten'",
        "print(needle); reply = llm_query('what is ' + context[needle:needle + 6])\nprint(type(reply).__name__)",
        "SUBMIT(answer=context[needle:needle + 6])",
    )
    with dspy.context(lm=scripted(*cells)):
        result = rlm(context="hay " * 50_000 + "needle" + " hay" * 10, query="find it")
    assert result.answer == "needle"
    assert result.trajectory[0]["output"].strip().endswith("200046")
    assert "str" in result.trajectory[2]["output"]
    assert "confined process" in LocalSandbox.execution_instructions


def test_an_error_and_what_was_printed_before_reach_the_model() -> None:
    rlm = dspy.RLM("query -> answer", interpreter_factory=LocalSandbox, max_iters=3)
    with dspy.context(lm=scripted("print('before')\n1 / 0", "x = (", "SUBMIT('done')")):
        result = rlm(query="q")
    assert "before" in result.trajectory[0]["output"]
    assert "ZeroDivisionError" in result.trajectory[0]["output"]
    assert "SyntaxError" in result.trajectory[1]["output"] or "never closed" in result.trajectory[1]["output"]
    assert result.answer == "done"


def test_sub_agents_of_dspys_facade_work() -> None:
    code = "import dspy\nout = dspy.Predict('question -> answer')(question='why')\nSUBMIT(answer=out.answer)"
    rlm = dspy.RLM("query -> answer", interpreter_factory=LocalSandbox, sub_lm=DummyLM([{"answer": "because"}]))
    with dspy.context(lm=scripted(code)):
        assert rlm(query="q").answer == "because"


def test_tools_and_typed_outputs_pass_through() -> None:
    def lookup(key: str) -> dict[str, Any]:
        """Find a record."""
        return {"key": key, "n": 3}

    rlm = dspy.RLM("query -> count: int, names: list[str]", tools=[lookup], interpreter_factory=LocalSandbox)
    with dspy.context(lm=scripted("SUBMIT(count='three', names=[])", "r = lookup('a')\nSUBMIT(r['n'], [r['key']])")):
        result = rlm(query="q")
    assert (result.count, result.names) == (3, ["a"])
    assert "must be int" in result.trajectory[0]["output"]


def test_a_factory_with_options_works() -> None:
    factory = functools.partial(LocalSandbox, tier="confined", timeout=5)
    rlm = dspy.RLM("query -> answer", interpreter_factory=factory)
    with dspy.context(lm=scripted("SUBMIT('x')")):
        assert rlm(query="q").answer == "x"


def test_execute_speaks_dspys_language() -> None:
    with LocalSandbox() as sandbox:
        assert sandbox.execute("x = 1") is None
        assert sandbox.execute("print('a')\nx + y", {"y": 2}) == "a\n3"
        assert sandbox.execute("SUBMIT(5)") == FinalOutput({"output": 5})
        with pytest.raises(CodeExecutionError, match="printed\nTraceback"):
            sandbox.execute("print('printed')\nx['a']")
        with pytest.raises(SyntaxError):
            sandbox.execute("x = = 1")
        with pytest.raises(CodeInterpreterError, match="exited with status 1") as caught:
            sandbox.execute("import os; os._exit(1)")
        assert not isinstance(caught.value, CodeExecutionError)


def test_a_flex_program_runs_on_it() -> None:
    flex = dspy.Flex("question -> answer", interpreter_factory=LocalSandbox)
    with dspy.context(lm=DummyLM([{"reasoning": "r", "answer": "because"}] * 3)):
        assert flex(question="why").answer == "because"
