"""The engine behind dspy.LM: its identity, its usage, the signatures it knows and those it does not."""

from __future__ import annotations

import asyncio

import dspy
import pytest

from fleet_rlm.lm.offline import LABEL, NAME, offline_lm
from fleet_rlm.lm.offline.wording import CANNOT


def test_replies_are_deterministic_and_usage_is_unknown_not_zero() -> None:
    lm = offline_lm()
    prompt = "What is the number?\n\nText: the number is 5"
    assert lm.model == NAME
    assert [lm(prompt) for _ in range(2)] == [["5"], ["5"]]
    assert asyncio.run(lm.acall(prompt)) == ["5"]
    assert not lm.history[-1]["usage"]
    assert lm.history[-1]["cost"] is None


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.JSONAdapter()])
def test_an_unknown_signature_is_refused_in_its_own_fields(adapter: dspy.ChatAdapter) -> None:
    with dspy.context(lm=offline_lm(), adapter=adapter):
        told = dspy.Predict("document, tone -> rewritten, title")(document="x", tone="warm")
    assert told.rewritten.startswith(CANNOT)
    assert told.title.startswith(CANNOT)


def test_no_figure_is_made_up_for_a_typed_field() -> None:
    with dspy.context(lm=offline_lm()), pytest.raises(dspy.AdapterParseError, match="I am not a model"):
        dspy.Predict("document -> score: float")(document="x")


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.JSONAdapter()])
def test_direct_answers_come_with_reasoning_where_asked(adapter: dspy.ChatAdapter) -> None:
    with dspy.context(lm=offline_lm(), adapter=adapter):
        told = dspy.ChainOfThought("question, context -> answer")(
            question="What is the code?", context="The code is 12."
        )
    assert told.answer.startswith("12")
    assert told.answer.count(LABEL) == 1
    assert told.reasoning


def test_streaming_gives_the_same_text() -> None:
    async def streamed() -> dspy.Prediction:
        program = dspy.streamify(dspy.Predict("question, context -> answer"))
        with dspy.context(lm=offline_lm()):
            async for value in program(question="What is the code?", context="The code is 12."):
                if isinstance(value, dspy.Prediction):
                    return value
        raise AssertionError("no prediction came")

    assert asyncio.run(streamed()).answer.startswith("12")
