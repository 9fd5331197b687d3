"""The events of one run as they arrive from its kernel: the latest of them in memory, and whoever waits for the next.

A feed keeps lines as the run's log wrote them and reads no more in them than how they begin. It keeps the last
`KEEP_BYTES`; what is older is in the run's file and in the store. Numbers are gap-free: a batch that does not follow
is not taken, and whoever brought it asks the kernel for what lies between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from fleet_rlm.core.events import RunEnd, Usage, decode
from fleet_rlm.server.services.runs.asks import OpenAsks

KEEP_BYTES = 2 << 20
"""Twenty busy sessions then hold 40 MB at most; at 500 bytes an event it is the last four thousand."""

BATCH_BYTES = 256 << 10

END, RESUME, SPAN_END = b'{"kind":"run.end"', b'{"kind":"run.resume"', b'{"kind":"span.end"'
APPROVAL, SANDBOX, STARTED = b'{"kind":"approval.', b'{"kind":"sandbox"', b'"state":"started"'
KEPT = b'"kept":true'


_USAGE = b'"usage":{'


class _Ended(msgspec.Struct):
    usage: Usage | None = None


_ended = msgspec.json.Decoder(_Ended)


@dataclass
class Spent:
    """What was used, as far as a feed was told: sandboxes that started, and what model calls reported."""

    sandboxes: int = 0
    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True)
class Batch:
    """Lines of a run's log from number `first` on, without their ends."""

    run: str
    first: int
    lines: Sequence[bytes]

    @property
    def next(self) -> int:
        """The number of the event after these."""
        return self.first + len(self.lines)


class Feed:
    """The live end of one run.

    Attributes:
        first, next: numbers of the oldest event kept and of the one that comes next.
        is_over: nothing more comes, unless the run is resumed.
        is_cut: it is over without an end: its kernel died.
        spent: what was used since the run began, or since it went on, where it was resumed or is a branch.
        goes_on: it was resumed, or is a branch that has left its past.
        asks: what it waits for a person to decide.
    """

    def __init__(self, run: str, first: int = 0) -> None:
        self.run = run
        self.first = self.next = first
        self.is_over = False
        self.is_cut = False
        self.spent = Spent()
        self.goes_on = False
        self.asks = OpenAsks()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._used = asyncio.Event()
        self._latest: Batch | None = None
        self._sees_sandbox = False

    @property
    def end(self) -> RunEnd | None:
        """How the run ended; None while it goes on, and where it was cut."""
        if not self.is_over or self.is_cut or not self._lines or not self._lines[-1].startswith(END):
            return None
        end = decode(self._lines[-1])
        return end if isinstance(end, RunEnd) else None

    def take(self, batch: Batch) -> bool:
        """Add what is new in a batch; False where events between are missing, and nothing was added."""
        if batch.first > self.next:
            return False
        fresh = batch.lines[self.next - batch.first :]
        if not fresh:
            return True
        before = replace(self.spent)
        for line in fresh:
            self._lines.append(line)
            self._bytes += len(line)
            if line.startswith(END):
                self.is_over = True
                self.asks.clear()
            elif line.startswith(RESUME):
                self.is_over = self.is_cut = False
                self.spent, self.goes_on = Spent(), True
                self.asks.clear()
            elif line.startswith(SANDBOX) and STARTED in line:
                self._sees_sandbox = True
            elif line.startswith(SPAN_END):
                if self._sees_sandbox:  # its span is the next to end, and says whether an earlier turn's was kept
                    self._sees_sandbox = False
                    self.spent.sandboxes += KEPT not in line
                if _USAGE in line:
                    self._book(line)
                if self.asks:
                    self.asks.closed(line)
            elif line.startswith(APPROVAL):
                self.asks.heard(line)
        self.next += len(fresh)
        while self._bytes > KEEP_BYTES and len(self._lines) > 1:
            self._bytes -= len(self._lines.popleft())
            self.first += 1
        self._tell()
        if self.spent != before:
            _pulse(self._used)
        return True

    def _book(self, line: bytes) -> None:
        try:
            usage = _ended.decode(line).usage or Usage()
        except msgspec.DecodeError:  # code in a kernel can write what it likes into its log
            return
        self.spent.tokens += max(0, usage.tokens_in or 0) + max(0, usage.tokens_out or 0)
        self.spent.usd += max(0.0, usage.cost_usd or 0.0)

    def cut(self) -> None:
        """The kernel is gone and the run has not ended."""
        if not self.is_over:
            self.is_over = self.is_cut = True
            self.asks.clear()
            self._tell()

    def since(self, seq: int) -> Batch | None:
        """A batch from `seq` on, empty where there is none yet; None where `seq` is older than what is kept.

        Those who are at the same place get the same batch, so that it is encoded for all of them once.
        """
        if seq < self.first:
            return None
        latest = self._latest
        if latest is not None and latest.first == seq and latest.next == self.next:
            return latest
        lines: list[bytes] = []
        room = BATCH_BYTES
        for place in range(seq - self.first, len(self._lines)):
            line = self._lines[place]
            room -= len(line)
            if lines and room < 0:
                break
            lines.append(line)
        self._latest = Batch(self.run, seq, lines)
        return self._latest

    async def changed(self, seq: int) -> None:
        """Wait until there is something from `seq` on, or the run is over."""
        while self.next <= seq and not self.is_over:
            await self._changed.wait()

    async def used(self, seen: Spent) -> Spent:
        """Wait until something else is used than was seen, or the run is over; returns what is used by then."""
        while self.spent == seen and not self.is_over:
            await self._used.wait()
        return replace(self.spent)

    async def over(self) -> None:
        """Wait until the run is over."""
        while not self.is_over:
            await self._ended.wait()

    def _tell(self) -> None:
        _pulse(self._changed)
        if self.is_over:
            self._ended.set()
            _pulse(self._used)
        else:
            self._ended.clear()


def _pulse(event: asyncio.Event) -> None:
    """Wake all who wait for it by now, and none who come later."""
    event.set()
    event.clear()
