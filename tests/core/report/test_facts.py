"""Figures as a reader sees them: unknown is said, and prompts are counted whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_rlm.core import events as ev
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.report import facts
from fleet_rlm.core.run import Run
from fleet_rlm.core.tree import Tree


def test_spending_is_told_with_its_limits(golden: Callable[[str], Tree]) -> None:
    assert dict(facts.spent(golden("auto"))) == {
        "model calls": "9 of 40",
        "tokens": "15,581 of 200,000 (14,777 in, 804 out, 8,412 cached)",
        "cost": "$0.0305 of $0.5",
        "children": "1 of 4",
        "time": "10.0 s of 300 s",
    }


def test_what_the_provider_did_not_report_is_unknown(golden: Callable[[str], Tree]) -> None:
    told = dict(facts.spent(golden("failed")))

    assert told["tokens"].startswith("unknown")
    assert told["cost"].startswith("unknown")


def test_without_a_sandbox_no_isolation_is_claimed() -> None:
    assert facts.isolation(Tree()) == "No generated code ran."


def test_prompts_kept_aside_are_counted_whole(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    run = Run(log)
    for prompt in ("x" * 100_000, "y" * 10):
        with log.span("llm", "call", input=prompt):
            pass

    assert facts.sent(run.tree) == 100_010


def test_a_sub_model_is_named_only_where_it_is_another() -> None:
    def head(sub_model: str | None) -> Tree:
        return Tree([ev.RunStart(run="r", seq=0, task="t", mode="auto", model="a/b", sub_model=sub_model)])

    assert facts.models(head("a/b")) == "a/b"
    assert facts.models(head("c/d")) == "a/b, sub-queries by c/d"


@pytest.mark.parametrize(
    ("microseconds", "text"), [(0, "0 ms"), (950_000, "950 ms"), (12_340_000, "12.3 s"), (125_000_000, "2 min 5 s")]
)
def test_durations_have_a_unit_that_suits_them(microseconds: int, text: str) -> None:
    assert facts.duration(microseconds) == text


def test_a_cut_text_says_how_much_is_missing() -> None:
    assert facts.cut("a" * 20 + "b" * 270 + "c" * 10, 30) == f"{'a' * 20}\n[… 270 characters left out …]\n{'c' * 10}"
