"""spans(): stable columns and dtypes, UTC, and nothing unknown shown as zero."""

from __future__ import annotations

import datetime
import json
import threading
from pathlib import Path

import pandas as pd
import pytest

from fleet_rlm.core import events as ev
from fleet_rlm.core.frame import DTYPES, spans_frame
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.tree import Tree

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.jsonl"))

COLUMNS = (
    *("run", "span", "parent", "depth", "seq", "kind", "name", "status", "start", "end", "duration_s", "model"),
    *("llm_calls", "tokens_in", "tokens_out", "tokens_cached", "cost_usd"),
    *("input", "output", "code", "error_type", "error", "attrs"),
    *("question", "asked_at", "decision", "decided_at", "decided_by", "decision_note"),
)


def tree_of(path: Path) -> Tree:
    return Tree(ev.decode(line) for line in path.read_bytes().splitlines())


def test_the_columns_are_those_that_were_promised() -> None:
    assert tuple(DTYPES) == COLUMNS


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_log_gives_the_same_columns_and_dtypes(path: Path) -> None:
    tree = tree_of(path)
    frame = spans_frame(tree)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == DTYPES
    assert list(frame["span"]) == list(tree.spans)
    assert (frame["run"] == tree.run).all()


def test_a_run_without_spans_gives_an_empty_frame_of_the_same_shape() -> None:
    frame = spans_frame(Tree())
    assert len(frame) == 0
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == DTYPES


def test_times_are_utc_to_the_microsecond_and_durations_seconds() -> None:
    events: list[ev.Event] = [
        ev.SpanStart(run="r", seq=0, ts=1_763_800_000_000_001, span="s1", type="turn", name="t"),
        ev.SpanEnd(run="r", seq=1, ts=1_763_800_001_500_001, span="s1", status="ok"),
    ]
    row = spans_frame(Tree(events)).iloc[0]
    assert row["start"] == pd.Timestamp(datetime.datetime(2025, 11, 22, 8, 26, 40, 1, tzinfo=datetime.UTC))
    assert row["duration_s"] == 1.5


def test_what_is_unknown_is_missing_and_never_zero() -> None:
    log = RunLog("r1")
    with log.span("turn", "t"), log.span("llm", "decide", attrs={"model": "openai/x"}) as span:
        span.usage = ev.Usage(llm_calls=1, tokens_in=10)
    running = Tree(log.events_since(0)[:2])
    turn, call = (row for _, row in spans_frame(running).iterrows())
    assert turn["status"] == call["status"] == "running"
    assert turn["end"] is pd.NaT
    assert turn["duration_s"] is pd.NA
    turn, call = (row for _, row in spans_frame(Tree(log.events_since(0))).iterrows())
    assert turn["llm_calls"] is pd.NA
    assert (call["model"], call["llm_calls"], call["tokens_in"]) == ("openai/x", 1, 10)
    assert call["cost_usd"] is pd.NA
    assert call["tokens_out"] is pd.NA
    assert turn["model"] is pd.NA
    assert turn["parent"] is pd.NA


def test_attributes_are_a_json_object() -> None:
    log = RunLog("r1")
    with log.span("llm", "decide", attrs={"model": "m", "b": [1, None], "a": "é"}):
        pass
    assert json.loads(spans_frame(Tree(log.events_since(0)))["attrs"][0]) == {"model": "m", "a": "é", "b": [1, None]}


def test_a_span_tells_what_it_asked_who_answered_and_when() -> None:
    log = RunLog("r1")
    with log.span("tool", "fetch") as span:
        log.emit(ev.ApprovalAsk(span=span.id, question="Fetch it?", options=["once", "no"], tool="fetch"))
        waiting = spans_frame(Tree(log.events_since(0))).iloc[0]
        log.emit(ev.ApprovalAnswer(span=span.id, answer="no", note="not now", by="ada"))
    asked, answered = (one for one in log.events_since(0) if isinstance(one, ev.ApprovalAsk | ev.ApprovalAnswer))
    with log.span("tool", "look"):
        pass
    frame = spans_frame(Tree(log.events_since(0)))
    row, other = frame.iloc[0], frame.iloc[1]
    assert (waiting["question"], waiting["asked_at"].value // 1_000) == ("Fetch it?", asked.ts)
    assert waiting[["decision", "decided_at", "decided_by", "decision_note"]].isna().all()
    assert (row["decision"], row["decided_by"], row["decision_note"]) == ("no", "ada", "not now")
    assert row["decided_at"].value // 1_000 == answered.ts
    assert other[["question", "asked_at", "decision"]].isna().all()


def test_it_goes_through_parquet_unchanged(tmp_path: Path) -> None:
    frame = spans_frame(tree_of(next(path for path in GOLDEN if path.stem == "asked")))
    frame.to_parquet(tmp_path / "spans.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "spans.parquet"), frame)


def test_it_can_be_taken_while_the_run_grows() -> None:
    log, tree, ended = RunLog("r1"), Tree(), threading.Event()
    log.subscribe(tree.apply)

    def work() -> None:
        while not ended.is_set() and len(log) < 6000:
            with log.span("code", "cell"):
                pass

    worker = threading.Thread(target=work)
    worker.start()
    try:
        sizes = [(len(spans_frame(tree)), len(tree.roots), len(tree.canonical()["spans"])) for _ in range(25)]
    finally:
        ended.set()
        worker.join()
    assert sizes == sorted(sizes)
