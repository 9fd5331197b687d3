"""The fold: the same tree as the TypeScript one for every golden log, whatever the order of reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_rlm.core import events as ev
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.tree import Tree

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.jsonl"))


def events_of(path: Path) -> list[ev.Event]:
    return [ev.decode(line) for line in path.read_bytes().splitlines()]


def numbered(*events: ev.Event) -> list[ev.Event]:
    for seq, event in enumerate(events):
        event.run, event.seq, event.ts = "r1", seq, 1_000_000 + seq
    return list(events)


def start(span: str, parent: str | None = None, type: ev.SpanType = "step", **more: Any) -> ev.SpanStart:
    return ev.SpanStart(span=span, parent=parent, type=type, name=span, **more)


def test_there_are_golden_logs() -> None:
    assert {"auto", "direct", "exhausted", "failed", "later", "resumed", "stopped"} <= {path.stem for path in GOLDEN}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_log_folds_to_its_golden_tree(path: Path) -> None:
    expected = json.loads(path.with_suffix(".tree.json").read_text(encoding="utf-8"))
    assert Tree(events_of(path)).canonical() == expected


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_events_that_come_twice_change_nothing(path: Path) -> None:
    events = events_of(path)
    once = Tree(events).canonical()
    assert Tree([event for event in events for _ in range(2)]).canonical() == once
    assert Tree(events + events).canonical() == once


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_log_cut_anywhere_folds_and_can_be_gone_on_with(path: Path) -> None:
    events = events_of(path)
    whole = Tree(events).canonical()
    for cut in range(len(events)):
        tree = Tree(events[:cut])
        tree.canonical()
        for event in events[cut:]:
            tree.apply(event)
        assert tree.canonical() == whole


def test_spans_hang_below_their_parents_in_order_of_start() -> None:
    tree = Tree(numbered(start("s1"), start("s2", "s1"), start("s3", "s1"), start("s4", "s2"), start("s5")))
    assert [span.id for span in tree.roots] == ["s1", "s5"]
    assert [span.id for span in tree.children(tree.spans["s1"])] == ["s2", "s3"]
    assert [(level, span.id) for level, span in tree.walk()] == [
        (0, "s1"),
        (1, "s2"),
        (2, "s4"),
        (1, "s3"),
        (0, "s5"),
    ]


def test_a_span_of_an_unknown_parent_is_a_root() -> None:
    tree = Tree(numbered(start("s1", "s99")))
    assert [span.id for span in tree.roots] == ["s1"]


def test_an_unfinished_span_is_running() -> None:
    tree = Tree(numbered(start("s1"), start("s2", "s1"), ev.SpanEnd(span="s2", status="error", error="no")))
    assert tree.spans["s1"].status == "running"
    assert tree.spans["s1"].end is None
    assert (tree.spans["s2"].status, tree.spans["s2"].error) == ("error", "no")
    assert tree.status == "running"


def test_the_end_of_a_span_adds_to_its_attributes() -> None:
    end = ev.SpanEnd(span="s1", status="ok", attrs={"b": 3, "c": 4})
    tree = Tree(numbered(start("s1", attrs={"a": 1, "b": 2}), end))
    assert tree.spans["s1"].attrs == {"a": 1, "b": 3, "c": 4}


def test_folding_does_not_change_the_events() -> None:
    begun = start("s1", attrs={"a": 1})
    Tree(numbered(begun, ev.SpanEnd(span="s1", status="ok", attrs={"b": 2})))
    assert begun.attrs == {"a": 1}


def test_only_model_calls_are_counted_into_the_usage() -> None:
    used = ev.Usage(llm_calls=1, tokens_in=10, tokens_out=1, tokens_cached=0, cost_usd=0.1)
    tree = Tree(
        numbered(
            start("s1", type="rlm"),
            start("s2", "s1", type="llm"),
            ev.SpanEnd(span="s2", status="ok", usage=used),
            ev.SpanEnd(span="s1", status="ok", usage=used),
        )
    )
    assert tree.usage == used


def test_what_a_span_printed_is_joined_by_channel() -> None:
    deltas = [("stdout", "a"), ("stderr", "x"), ("stdout", "b"), ("thought", "hm"), ("text", "t")]
    tree = Tree(numbered(start("s1"), *(ev.Delta(span="s1", channel=c, text=t) for c, t in deltas)))  # type: ignore[arg-type]
    span = tree.spans["s1"]
    assert (span.stdout, span.stderr, span.thought, span.text) == ("ab", "x", "hm", "t")


def test_the_first_sandbox_and_the_last_budget_are_the_runs() -> None:
    def opened(tier: str) -> ev.SandboxState:
        return ev.SandboxState(state="started", backend="local", tier=tier)

    def spent(calls: int) -> ev.BudgetChange:
        return ev.BudgetChange(spent=ev.Limits(calls=calls), remaining=ev.Limits())

    tree = Tree(numbered(opened("confined"), opened("process"), spent(1), spent(2)))
    assert tree.sandbox is not None
    assert tree.sandbox.tier == "confined"
    assert tree.budget is not None
    assert tree.budget.spent.calls == 2


@given(some.lists(some.integers(0, 30), max_size=30))
def test_walking_visits_every_span_once_below_its_parent(parents: list[int]) -> None:
    events = [start(f"s{n}", f"s{parent}" if parent < n else None) for n, parent in enumerate(parents)]
    tree = Tree(numbered(*events))
    walked = list(tree.walk())
    assert sorted(span.id for _, span in walked) == sorted(tree.spans)
    level_of = {span.id: level for level, span in walked}
    assert all(level_of[s.id] == level_of[s.parent] + 1 for _, s in walked if s.parent in tree.spans)  # type: ignore[index]


def test_a_deep_tree_is_walked_without_recursion() -> None:
    events = [start(f"s{n}", f"s{n - 1}" if n else None) for n in range(5000)]
    assert max(level for level, _ in Tree(numbered(*events)).walk()) == 4999


def test_a_tree_that_grows_meanwhile_can_be_walked() -> None:
    log = RunLog("r1")
    tree = Tree()
    log.subscribe(tree.apply)
    for _ in range(3):
        with log.span("step", "one"):
            pass
    seen = 0
    for _ in tree.walk():
        seen += 1
        with log.span("step", "another"):
            pass
    assert seen == 3
