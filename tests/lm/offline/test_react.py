"""The agent's steps through an unmodified dspy.ReAct."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import dspy

from fleet_rlm.lm.offline import LABEL, offline_lm
from fleet_rlm.lm.offline.wording import CANNOT
from fleet_rlm.rlm.describe import describe, prompt_text


def ask(question: str, tools: list[Any], **values: Any) -> dspy.Prediction:
    context = "\n\n".join(prompt_text(describe(name, value)) for name, value in values.items())
    with dspy.context(lm=offline_lm()):
        return dspy.ReAct("question, context -> answer", tools=tools, max_iters=8)(question=question, context=context)


def test_data_is_delegated_once_and_the_answer_passed_on() -> None:
    queries = []

    def delegate_to_rlm(query: str) -> str:
        """Answer by a recursive model."""
        queries.append(query)
        return f"Seven, with evidence\n- a:1: x\n\n{LABEL}"

    prediction = ask("How many lines mention x?", [delegate_to_rlm], data="x\ny")
    assert queries == ["How many lines mention x?"]
    assert prediction.answer == f"Seven, with evidence\n- a:1: x\n\n{LABEL}"


def test_code_is_run_where_only_that_is_offered() -> None:
    space: dict[str, Any] = {"sales": [{"shop": "Ayr", "takings": 2}, {"shop": "Bute", "takings": 9}]}

    def execute_code(code: str) -> str:
        """Run Python."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, space)
        return printed.getvalue()

    prediction = ask("Which shop has the highest total takings?", [execute_code], sales=space["sales"])
    assert prediction.answer.startswith("Bute has the highest total of takings: 9")
    assert prediction.answer.count(LABEL) == 1


def test_a_failing_tool_is_told() -> None:
    def delegate_to_rlm(query: str) -> str:
        """Answer by a recursive model."""
        raise ValueError("the sandbox is gone")

    prediction = ask("How many lines mention x?", [delegate_to_rlm], data="x")
    assert "the sandbox is gone" in prediction.answer
    assert prediction.answer.count(LABEL) == 1


def test_greetings_and_questions_without_data_finish_at_once() -> None:
    def delegate_to_rlm(query: str) -> str:
        """Answer by a recursive model."""
        raise AssertionError("nothing to delegate")

    prediction = ask("Hello!", [delegate_to_rlm])
    assert prediction.answer.startswith(CANNOT)
    assert [name for name in prediction.trajectory.values() if name == "finish"] == ["finish"]


def test_a_function_that_the_question_names_is_called_with_what_it_quotes() -> None:
    asked = []

    def owner_of(module: str, strict: bool = False) -> str:
        """Who looks after a module."""
        asked.append((module, strict))
        return f"{module}: the platform team"

    def delegate_to_rlm(query: str) -> str:
        """Answer by a recursive model."""
        raise AssertionError("the question names the function it wants")

    for values in ({}, {"data": "x"}):
        asked.clear()
        prediction = ask('What does `owner_of` say of "ssl"?', [delegate_to_rlm, owner_of], **values)
        assert prediction.answer == f"- owner_of('ssl'): ssl: the platform team\n\n{LABEL}"
        assert asked == [("ssl", False)]


def test_a_function_that_fails_is_told_and_not_called_again() -> None:
    def owner_of(module: str) -> str:
        """Who looks after a module."""
        raise KeyError(module)

    prediction = ask('What does `owner_of` say of "ssl"?', [owner_of])
    assert prediction.answer.startswith("- owner_of('ssl'): Execution error")
    assert prediction.answer.count("owner_of('ssl')") == 1
