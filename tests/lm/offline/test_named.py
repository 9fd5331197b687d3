"""Which calls of the user's functions a question asks for, through the words in which dspy offers them."""

from __future__ import annotations

from typing import Any

import dspy
import pytest

from fleet_rlm.lm.offline.named import named_calls


def price(item: str, currency: str = "EUR") -> str:
    """What an item costs."""
    return item


def rate(currency: str, year: int) -> float:
    return 1.0


def total(items: list[str]) -> str:
    """Sum them up."""
    return ""


def now() -> str:
    """The time."""
    return ""


def offered(*functions: Any) -> str:
    """The instructions of an agent with these tools."""
    agent = dspy.ReAct("question -> answer", tools=list(functions))
    return str(agent.react.signature.instructions)


OFFERED = offered(price, rate, total, now)


@pytest.mark.parametrize(
    ("question", "calls"),
    [
        ('What does `price` say of "tea"?', [("price", {"item": "tea"})]),
        ("What does `price` say of 'tea' and “milk”?", [("price", {"item": "tea"}), ("price", {"item": "milk"})]),
        ('What does `rate` say of "EUR" in 2024?', [("rate", {"currency": "EUR", "year": 2024})]),
        ("What does `now` say?", [("now", {})]),
        ("What does `price` say?", []),
        ('What does `rate` say of "EUR"?', []),
        ('What does `total` say of "tea"?', []),
        ('How many lines of `log` mention "price"?', []),
        ('What does price say of "tea"?', []),
    ],
)
def test_a_function_is_called_where_it_is_named_and_all_it_takes_is_quoted(question: str, calls: list[Any]) -> None:
    assert [(call.tool, call.arguments) for call in named_calls(question, OFFERED)] == calls
