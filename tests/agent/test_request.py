"""Mistakes are told before anything is spent, in one sentence with the way out."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fleet_rlm as fleet
from fleet_rlm.agent.context import small_text
from fleet_rlm.agent.request import request
from fleet_rlm.core.errors import ContextError, ModelError, UserError

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"task": "  "}, "the question is empty"),
    ({"mode": "dirct"}, "did you mean 'direct'"),
    ({"sandbox": "locl"}, "did you mean 'local'"),
    ({"budget": 0}, "calls must be a whole number of at least 1, not 0"),
    ({"budget": "many"}, "calls must be a whole number"),
    ({"timeout": -1}, "seconds must be a number above 0"),
    ({"cell_timeout": 0}, "cell_timeout must be"),
    ({"depth": -1}, "depth must be a whole number of at least 0"),
    ({"context": {"llm_query": 1}}, "rename the variable"),
    ({"context": {"a b": 1}}, "not a Python name"),
    ({"context": Path("/no/such/file")}, "/no/such/file"),
    ({"context": "x" * 10**6, "mode": "direct"}, "that fits one prompt"),
    ({"lm": 3}, "lm must be a model name or a dspy.LM"),
]


@pytest.mark.parametrize(("options", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_a_mistake_is_one_clear_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        request(**{"task": "why?", **options})
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_told_before_any_call() -> None:
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        request("why?", lm="openai/gpt-4o-mini")


def test_small_data_is_answered_directly_and_large_data_by_the_agent() -> None:
    assert request("why?", context="short").mode == "direct"
    assert request("why?", context="x" * 10**6).mode == "agent"


def test_the_direct_threshold_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_DIRECT_CHARS", "10")
    assert request("why?", context="longer than ten characters").mode == "agent"


def test_a_value_is_named_context_and_a_dict_names_its_values() -> None:
    assert list(request("why?", context=[1]).values) == ["context"]
    assert list(request("why?", context={"a": 1, "b": 2}).values) == ["a", "b"]


@pytest.mark.parametrize(
    "value",
    ["x" * 10_001, b"x" * 10_001, list(range(10_001)), {"k": "x" * 10_001}, np.zeros(10_001), pd.Series(range(10_001))],
    ids=lambda value: type(value).__name__,
)
def test_what_is_too_long_is_not_written_out(value: Any) -> None:
    assert small_text({"v": value}, 10_000) is None


def test_small_values_are_written_out_whole() -> None:
    text = small_text({"v": {"k": [1, 2]}, "f": pd.DataFrame({"a": [5]})}, 10_000)
    assert text is not None
    assert "{'k': [1, 2]}" in text
    assert "a\n0,5" in text


def test_names_that_python_forbids_are_refused_with_the_way_out() -> None:
    with pytest.raises(ContextError, match="wrap a plain dict"):
        request("why?", context={1: 2})


def test_the_plan_says_what_would_be_sent_and_asks_no_model() -> None:
    text = fleet.plan("why?", context={"log": "secret line\n" * 10_000}, budget=7).text()
    assert "7 calls" in text
    assert "fleet/offline" in text
    assert "rule-based stand-in" in text
    assert "120,000 characters" in text


def test_what_cannot_be_written_out_is_left_to_the_sandbox_to_refuse() -> None:
    for value in ((i for i in range(3)), lambda: 1):
        assert small_text({"v": value}, 10_000) is None
        with pytest.raises(ContextError, match="cannot be sent"):
            fleet.run("What?", context=value)


def test_a_wrong_option_is_named_with_the_one_that_is_meant() -> None:
    with pytest.raises(UserError, match="run has no option 'budgt'; did you mean 'budget'"):
        fleet.run("why?", budgt=3)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="run has no option 'model'; did you mean 'lm'"):
        fleet.run("why?", model="fleet/offline")  # type: ignore[call-arg]
    with fleet.Session("incident") as session, pytest.raises(UserError, match="did you mean 'sub_lm'"):
        session.ask("why?", sub_model="fleet/offline")


def test_what_goes_on_takes_the_model_by_either_name_and_nothing_it_does_not_know() -> None:
    run = fleet.run("How many lines?", context="a\nb\n", lm="fleet/offline")
    for name in ("lm", "model"):
        assert run.branch("s1", **{name: "fleet/offline"}).wait().status == "ok"
    with pytest.raises(UserError, match=r"run\.branch has no option 'modl'; there are context, lm, "):
        run.branch("s1", modl="fleet/offline")


@pytest.mark.parametrize("name", ["run", "arun", "start", "plan"])
def test_the_options_can_be_seen_and_completed(name: str) -> None:
    options = inspect.signature(getattr(fleet, name)).parameters
    assert {"task", "context", "lm", "sub_lm", "mode", "budget", "timeout", "cell_timeout", "depth"} <= set(options)


def test_a_dollar_limit_needs_a_price_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="the price of fleet/offline is not known"):
        request("why?", budget=fleet.Budget(usd=1))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    assert request("why?", lm="openai/gpt-4o-mini", budget=fleet.Budget(usd=1)).budget.usd == 1


def test_a_table_with_several_header_rows_is_written_with_one() -> None:
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    text = small_text({"v": pd.DataFrame([[1, 2], [3, 4]], columns=columns)}, 10_000)
    assert text is not None
    assert ",a / x,a / y\n0,1,2\n1,3,4\n" in text


@pytest.mark.parametrize(
    "value", [10**5000, functools.reduce(lambda inner, _: [inner], range(3000), [])], ids=["int", "nested"]
)
def test_a_value_python_cannot_write_out_is_no_crash(value: Any) -> None:
    assert small_text({"v": value}, 100_000) is None
