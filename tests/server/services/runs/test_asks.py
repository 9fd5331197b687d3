"""Which questions of a run are open, as its log tells; the tree of the same events says the same."""

from __future__ import annotations

import pytest

from fleet_rlm.core.events import ApprovalAnswer, ApprovalAsk, Event, RunEnd, RunResume, RunStart, SpanEnd, SpanStart
from fleet_rlm.core.events import encode as line_of
from fleet_rlm.core.tree import Tree
from fleet_rlm.server.services.runs.asks import LONGEST, MOST, OpenAsks
from fleet_rlm.server.services.runs.feed import Batch, Feed

BEGUN: list[Event] = [
    RunStart(task="t", mode="auto", model="m"),
    *(SpanStart(span=span, type="tool", name="write_buffer") for span in ("a", "b")),
    ApprovalAsk(span="a", question="Write to the buffer one?", options=["once", "no"], tool="write_buffer"),
    ApprovalAsk(span="b", question="Write to the buffer two?", options=["once", "no"], tool="write_buffer"),
]
ONE, TWO = 3, 4


def told(*more: Event) -> tuple[Feed, Tree]:
    """What a feed and a tree make of a run that asked two things, and of what happened then."""
    feed, tree = Feed("r"), Tree()
    for seq, event in enumerate([*BEGUN, *more]):
        event.run, event.seq, event.ts = "r", seq, seq
        tree.apply(event)
        assert feed.take(Batch("r", seq, [line_of(event)]))
    return feed, tree


@pytest.mark.parametrize(
    ("then", "left"),
    [
        ([], [ONE, TWO]),
        ([ApprovalAnswer(span="a", answer="once")], [TWO]),
        ([ApprovalAnswer(span="c", answer="once")], [ONE, TWO]),
        ([SpanEnd(span="b", status="stopped")], [ONE]),
        ([RunEnd(status="stopped")], []),
        ([RunEnd(status="stopped"), RunResume(reopened=["a"])], []),
        ([RunResume(), ApprovalAsk(span="a", question="Write to the buffer one?")], [6]),
    ],
    ids=["nothing", "answered", "answered-elsewhere", "span-ended", "run-ended", "went-on", "asked-again"],
)
def test_a_question_is_open_until_it_is_answered_or_nobody_waits_any_more(then: list[Event], left: list[int]) -> None:
    feed, tree = told(*then)
    assert [asked.seq for asked in feed.asks.events] == left
    assert sorted(asked.seq for asked in tree.asks.values()) == left


def test_a_run_that_was_cut_waits_for_nobody() -> None:
    feed, _ = told()
    feed.cut()
    assert not feed.asks


def test_a_question_is_open_also_when_the_feed_has_let_go_of_its_event() -> None:
    feed, _ = told()
    filler = b'{"kind":"delta","text":"' + b"x" * 100_000 + b'"}'
    for seq in range(feed.next, feed.next + 40):
        feed.take(Batch("r", seq, [filler]))
    assert feed.first > TWO
    assert [asked.question for asked in feed.asks.events] == ["Write to the buffer one?", "Write to the buffer two?"]


def test_what_code_writes_into_its_log_fills_no_memory_and_breaks_nothing() -> None:
    asks = OpenAsks()
    for line in (b'{"kind":"approval.ask"', b'{"kind":"approval.ask","v":9}', b'{"kind":"approval.answer","span":7}'):
        asks.heard(line)
        asks.closed(line)
    asks.heard(line_of(ApprovalAsk(run="r", seq=0, span="a", question="x" * LONGEST)))
    asks.heard(line_of(ApprovalAsk(run="r", seq=0, question="of no span")))
    assert not asks
    for seq in range(2 * MOST):
        asks.heard(line_of(ApprovalAsk(run="r", seq=seq, span=str(seq), question="again?")))
    assert [asked.seq for asked in asks.events] == list(range(MOST))
