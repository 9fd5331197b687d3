"""The way of one run's events out of the kernel: at once where it is quiet, in batches where it is not.

The log is the buffer; an outlet is a place in it. Everything is sent from one loop, in order: that of the thread whose
the socket is, because each thread that an event passes on its way costs more than what is done there. A first event
goes out in the next turn of the loop, so whoever waits for it waits for nothing else; those that follow within `PERIOD`
go together, because every message costs the server, whatever it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fleet_rlm.core.events import Event, encode
from fleet_rlm.core.log import RunLog

PERIOD = 0.01
"""Seconds between messages of one run: half of the 20 ms that relaying may take."""

MESSAGE_BYTES = 48_000
"""Less than what zmq would send without copying, which needs a thread's attention."""

Send = Callable[[str, int, list[bytes]], object]


class Outlet:
    """Sends every event of a log from `since` on.

    Args:
        send: takes the run's id, the number of the first line, and lines.
        loop: where `send` is called, and nowhere else.
    """

    def __init__(self, log: RunLog, send: Send, loop: asyncio.AbstractEventLoop, since: int = 0) -> None:
        self._log = log
        self._send = send
        self._next = since
        self._loop = loop
        self._woken = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self._unsubscribe = log.subscribe(self._note, since=since)

    def resend(self, since: int) -> None:
        """Begin again at an earlier event, for whoever missed some; callable on any thread."""
        self._loop.call_soon_threadsafe(self._begin_again, since)

    def close(self) -> None:
        """Send nothing any more; callable on any thread."""
        self._unsubscribe()
        self._is_closed = True

    def _begin_again(self, since: int) -> None:
        self._next = max(0, min(self._next, since))
        self._flush()

    def _note(self, _event: Event) -> None:
        if not self._woken:  # under the log's lock: one wake-up serves all events until the next flush
            self._woken = True
            self._loop.call_soon_threadsafe(self._schedule)

    def _schedule(self) -> None:
        due = self._sent_at + PERIOD - self._loop.time()
        if due <= 0:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(due, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._woken = False
        if self._is_closed:
            return
        lines: list[bytes] = []
        room = MESSAGE_BYTES
        due = self._log.events_since(self._next)
        for event in due:
            line = encode(event)
            room -= len(line)
            if lines and room < 0:
                break
            lines.append(line)
        if not lines:
            return
        self._send(self._log.run, self._next, lines)
        self._next += len(lines)
        self._sent_at = self._loop.time()
        if len(lines) < len(due):
            self._woken = True
            self._schedule()
