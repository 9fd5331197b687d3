"""The way of a run's events to the page: batches by sequence number, and replay for whoever missed some.

The log itself is the buffer: a channel is a place in it, moved on by sending and moved back by a page that asks. Events
are emitted on any thread; everything is sent from the background loop, so messages keep their order and a kernel busy
with a blocking cell still shows them. A page that already has an event ignores it, so one replay may go to all pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from fleet_rlm.core.events import Event, encode
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import background_loop

VERSION = 1

PERIOD = 0.08
"""Seconds between flushes. A Jupyter server drops messages beyond 1,000 a second, without telling anybody."""

MESSAGE_BYTES = 64_000
MESSAGES_PER_FLUSH = 4
"""Encoding 256 kB keeps the loop, which the whole engine shares, for a few milliseconds."""

Send = Callable[[dict[str, Any]], object]


class Channel:
    """Sends every event of `log`, from the first, as envelopes `{v, t: "events", from, to, now, items}`.

    Args:
        send: takes one envelope; called on the background loop's thread only.
    """

    def __init__(self, log: RunLog, send: Send) -> None:
        self._log = log
        self._send = send
        self._loop = background_loop()
        self._next = 0
        self._closed = False
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None
        self._unsubscribe = log.subscribe(self._note, since=0)

    def resend(self, have: int) -> None:
        """Answer a page that wants the events from `have` on: at least one envelope follows. Callable on any thread."""
        self._loop.call_soon_threadsafe(self._answer, have)

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True
        self._unsubscribe()

    def _note(self, _event: Event) -> None:
        # Under the log's lock, so emitters cannot race here; one wake-up serves all events until the next flush.
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._schedule)

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(PERIOD, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._woken = False
        self._send_due()

    def _answer(self, have: int) -> None:
        self._next = max(0, min(self._next, have))
        if not self._send_due() and not self._closed:
            self._send(_envelope(self._next, []))

    def _send_due(self) -> bool:
        """Send up to a flush's worth of what is due; False when nothing was."""
        due = [] if self._closed else self._log.events_since(self._next)
        sent = 0
        for _ in range(MESSAGES_PER_FLUSH):
            if not (batch := _batch(due[sent:])):
                break
            self._send(_envelope(self._next, batch))
            self._next += len(batch)
            sent += len(batch)
        if sent < len(due):
            self._schedule()
        return sent > 0


def _batch(events: list[Event]) -> list[bytes]:
    """The first of `events` that fit into one message; one that fits into none goes alone."""
    lines: list[bytes] = []
    room = MESSAGE_BYTES
    for event in events:
        line = encode(event)
        room -= len(line)
        if lines and room < 0:
            break
        lines.append(line)
    return lines


def _envelope(first: int, lines: list[bytes]) -> dict[str, Any]:
    # Decoded again rather than converted: what the page gets is then what a saved log holds, but for the keys by which
    # a resumed run finds its calls; no page reads them, and in a run of many calls they are much.
    items = [msgspec.json.decode(line) for line in lines]
    for item in items:
        item.get("attrs", {}).pop("key", None)
    now = time.time_ns() // 1000
    return {"v": VERSION, "t": "events", "from": first, "to": first + len(items) - 1, "now": now, "items": items}
