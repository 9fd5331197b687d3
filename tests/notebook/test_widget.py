"""The kernel half of the live view: what it keeps for a saved notebook, and what it does when the page speaks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.core.errors import FleetError, NotAsked
from fleet_rlm.core.events import RunEnd, RunResume, RunStart
from fleet_rlm.core.log import RunLog
from fleet_rlm.notebook.widget import MAX_TITLE, RunWidget, page_half

START = RunStart(task="Who?", mode="auto", model="openai/x", offline=True)


class Captured(RunWidget):
    """The real widget, its messages kept instead of sent to a comm."""

    def __init__(
        self,
        log: RunLog,
        on_stop: Callable[[], object] = lambda: None,
        on_approve: Callable[[int, str, str | None], object] = lambda ask, answer, note: None,
    ) -> None:
        self.inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self.settled = threading.Event()
        super().__init__(log, on_stop=on_stop, on_approve=on_approve, title="before the start")
        self.observe(lambda change: "answer" in change["new"] and self.settled.set(), "snapshot")
        if "answer" in self.snapshot:  # the background loop was quicker
            self.settled.set()

    def send(self, content: dict[str, Any], buffers: object = None) -> None:
        self.inbox.put(content)

    def say(self, message: Any) -> None:
        """What a page's message does to the kernel."""
        self._handle_custom_msg(message, [])

    def next(self, kind: str) -> dict[str, Any]:
        while (message := self.inbox.get(timeout=10))["t"] != kind:
            pass
        return message


def started() -> RunLog:
    log = RunLog("r1")
    log.emit(START)
    return log


def test_events_reach_the_page_and_are_replayed_to_a_page_that_was_reloaded() -> None:
    log = started()
    widget = Captured(log)
    assert widget.next("events")["to"] == 0
    log.emit(RunEnd(status="ok", answer="me"))
    assert widget.next("events")["from"] == 1
    widget.say({"v": 1, "t": "hello", "have": 0})
    replay = widget.next("events")
    assert [item["kind"] for item in replay["items"]] == ["run.start", "run.end"]


def test_a_run_that_is_gone_on_with_is_running_again() -> None:
    log = started()
    log.emit(RunEnd(status="failed", error="the model failed"))
    log.emit(RunResume(model="openai/y"))
    widget = Captured(log)
    assert widget.next("events")["to"] == 2
    assert (widget.status, widget.snapshot["model"], widget.snapshot["error"]) == ("running", "openai/y", None)


def test_what_a_saved_notebook_shows_without_a_kernel_is_in_the_traits() -> None:
    log = started()
    widget = Captured(log)
    assert (widget.run_id, widget.status) == ("r1", "running")
    log.emit(RunEnd(status="exhausted", answer={"n": float("nan")}, error="the budget is spent"))
    assert widget.settled.wait(10)
    assert (widget.title, widget.status) == ("Who?", "exhausted")
    assert widget.snapshot == {
        "model": "openai/x",
        "offline": True,
        "answer": {"n": None},
        "error": "the budget is spent",
    }


def test_the_log_is_in_no_trait() -> None:
    log = started()
    widget = Captured(log)
    before = set(widget.keys)
    for _ in range(100):
        log.emit(START)
    widget.next("events")
    assert set(widget.keys) == before
    assert "events" not in before


def test_a_run_that_is_over_is_shown_whole() -> None:
    log = started()
    log.emit(RunEnd(status="ok", answer="me"))
    widget = Captured(log)
    assert widget.next("events")["to"] == 1
    assert widget.settled.wait(10)
    assert widget.status == "ok"


def test_stop_reaches_the_run_on_the_thread_that_brought_it_and_is_acknowledged() -> None:
    stopped_on: list[int] = []
    widget = Captured(started(), on_stop=lambda: stopped_on.append(threading.get_ident()))
    subshell = threading.Thread(target=widget.say, args=({"v": 1, "t": "stop", "id": "q7"},))
    subshell.start()
    assert widget.next("reply") == {"v": 1, "t": "reply", "id": "q7", "ok": True}
    assert stopped_on == [subshell.ident]


def test_a_stop_that_fails_tells_the_page_why() -> None:
    def refuse() -> None:
        raise RuntimeError("the run belongs to another kernel")

    widget = Captured(started(), on_stop=refuse)
    widget.say({"v": 1, "t": "stop", "id": "q1"})
    reply = widget.next("reply")
    assert (reply["ok"], reply["error"]) == (False, "RuntimeError: the run belongs to another kernel")


def test_an_answer_reaches_the_run_with_its_note_and_a_refusal_is_one_sentence() -> None:
    answers: list[tuple[int, str, str | None]] = []

    def approve(ask: int, answer: str, note: str | None) -> None:
        if answers:
            raise NotAsked("what run r1 asked at event 3 was answered already: no")
        answers.append((ask, answer, note))

    widget = Captured(started(), on_approve=approve)
    said = {"v": 1, "t": "approve", "id": "q1", "ask": 3, "answer": "no", "note": "read the wiki"}
    widget.say(said)
    assert widget.next("reply") == {"v": 1, "t": "reply", "id": "q1", "ok": True}
    widget.say({**said, "id": "q2", "note": None})
    assert widget.next("reply")["error"] == "what run r1 asked at event 3 was answered already: no"
    assert answers == [(3, "no", "read the wiki")]


@pytest.mark.parametrize(
    "message",
    [None, 7, {}, {"v": 2, "t": "stop", "id": "a"}, {"v": 1, "t": "stop"}, {"v": 1, "t": "hello", "have": "x"}],
)
def test_a_message_that_is_not_ours_does_nothing(message: Any) -> None:
    calls: list[None] = []
    widget = Captured(started(), on_stop=lambda: calls.append(None))
    widget.next("events")
    widget.say(message)
    widget.say({"v": 1, "t": "hello", "have": 1})
    assert widget.next("events")["items"] == []
    assert calls == []


def test_a_closed_widget_sends_nothing_and_leaves_the_run_alone() -> None:
    calls: list[None] = []
    log = started()
    widget, other = Captured(log, on_stop=lambda: calls.append(None)), Captured(log)
    widget.next("events")
    widget.close()
    log.emit(RunEnd(status="ok"))
    while other.next("events")["to"] < 1:
        pass
    assert widget.inbox.empty()
    assert (calls, widget.status) == ([], "running")


def test_the_text_form_is_the_same_for_every_run() -> None:
    log = RunLog("another")
    assert repr(Captured(started())) == repr(Captured(log)) == "<live view of a fleet run; it needs a running kernel>"


def test_a_long_question_is_cut_in_the_saved_state() -> None:
    log = RunLog("r")
    widget = RunWidget(log, on_stop=lambda: None, on_approve=lambda *_: None, title="w" * 10_000)
    assert len(widget.title) == MAX_TITLE


def test_the_built_bundle_is_small_enough_to_be_saved_with_every_run() -> None:
    esm, css = page_half()
    assert 1_000 < len(esm.encode()) < 150_000
    assert ".flt-root" in css


def test_a_checkout_without_a_build_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="make widget"):
        page_half(tmp_path)
