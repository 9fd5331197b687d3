"""The way of events out of a kernel."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from fleet_rlm.core.events import Note, decode
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import background_loop, run_sync
from fleet_rlm.server.kernel.outlet import MESSAGE_BYTES, PERIOD, Outlet


class Sent:
    """What was sent, and when."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, int, list[bytes]]] = []
        self.changed = threading.Condition()

    def __call__(self, run: str, first: int, lines: list[bytes]) -> None:
        with self.changed:
            self.batches.append((time.monotonic(), first, lines))
            self.changed.notify_all()

    def wait_for(self, events: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.numbers) >= events, 10)

    @property
    def numbers(self) -> list[int]:
        return [decode(line).seq for _, _, lines in self.batches for line in lines]


def note(log: RunLog, text: str = "x") -> None:
    log.emit(Note(level="info", text=text))


def test_a_lone_event_leaves_at_once() -> None:
    log, sent = RunLog("r"), Sent()
    Outlet(log, sent, background_loop())
    time.sleep(PERIOD * 2)  # so that nothing was sent a moment ago
    before = time.monotonic()
    note(log)
    sent.wait_for(1)
    assert sent.batches[0][0] - before < PERIOD


def test_many_events_leave_in_few_messages_in_order_and_whole() -> None:
    log, sent = RunLog("r"), Sent()
    note(log)
    Outlet(log, sent, background_loop())
    began = time.monotonic()
    for _ in range(2_000):
        note(log)
    sent.wait_for(2_001)
    assert sent.numbers == list(range(2_001))
    assert len(sent.batches) <= (time.monotonic() - began) / PERIOD + 2 + 2_001 * 120 / MESSAGE_BYTES * 2
    assert [first for _, first, _ in sent.batches] == [decode(lines[0]).seq for _, _, lines in sent.batches]


def test_no_message_is_larger_than_it_may_be_but_for_an_event_that_is_itself() -> None:
    log, sent = RunLog("r"), Sent()
    Outlet(log, sent, background_loop())
    for size in (30_000, 30_000, 200_000, 10, 10):
        note(log, "x" * size)
    sent.wait_for(5)
    assert all(len(lines) == 1 or sum(map(len, lines)) <= MESSAGE_BYTES for _, _, lines in sent.batches)
    assert sent.numbers == [0, 1, 2, 3, 4]


def test_whoever_missed_some_gets_them_again() -> None:
    log, sent = RunLog("r"), Sent()
    outlet = Outlet(log, sent, background_loop())
    for _ in range(10):
        note(log)
    sent.wait_for(10)
    sent.batches.clear()

    async def again() -> None:
        outlet.resend(4)

    run_sync(again())
    sent.wait_for(6)
    assert sent.numbers == [4, 5, 6, 7, 8, 9]


def test_a_resumed_log_is_told_from_where_it_goes_on(tmp_path: Path) -> None:
    log, sent = RunLog("r"), Sent()
    for _ in range(5):
        note(log)
    Outlet(log, sent, background_loop(), since=3)
    sent.wait_for(2)
    note(log)
    sent.wait_for(3)
    assert sent.numbers == [3, 4, 5]


def test_after_it_is_closed_nothing_leaves() -> None:
    log, sent = RunLog("r"), Sent()
    outlet = Outlet(log, sent, background_loop())
    note(log)
    sent.wait_for(1)

    async def close() -> None:
        outlet.close()
        await asyncio.sleep(0)

    run_sync(close())
    note(log)
    run_sync(asyncio.sleep(PERIOD * 2))
    assert sent.numbers == [0]
