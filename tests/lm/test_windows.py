"""Context windows: those that are known, and None for those that are not."""

from __future__ import annotations

import dspy
import pytest

from fleet_rlm.lm.windows import window


@pytest.mark.parametrize(("model", "tokens"), [("openai/gpt-4o", 128_000), ("gpt-4o", 128_000)])
def test_a_known_model_has_its_window(model: str, tokens: int) -> None:
    assert window(dspy.LM(model, api_key="k")) == tokens


def test_an_unknown_model_has_none() -> None:
    assert window(dspy.LM("openai/not-yet-released", api_key="k")) is None


def test_a_server_of_ones_own_has_none_whatever_its_model_is_called() -> None:
    assert window(dspy.LM("openai/gpt-4o", api_key="k", api_base="http://127.0.0.1:9/v1")) is None


def test_a_model_without_a_window_has_none() -> None:
    assert window(dspy.utils.DummyLM([{"answer": "42"}])) is None
