"""Door: what is asked before a run begins, and what is told of it outside when it begins, goes on and ends.

Before: the quotas. After: the audit, the server's metrics, and the events of the Jupyter server. A run keeps its
reservation until it is over, whatever ends it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.errors import FleetError
from fleet_rlm.server import metrics
from fleet_rlm.server.services.audit import Audit
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.quotas import AT_ONCE, COST, MICRO, QuotaReached, Quotas, Reserved

if TYPE_CHECKING:
    from fleet_rlm.server.services.runs.feed import Feed
    from fleet_rlm.server.services.runs.live import Live
    from fleet_rlm.sessions.store.tables import Run as Row

STARTED, ENDED = "run_started", "run_ended"

_TS = re.compile(rb'"ts":(\d+)')

Tell = Callable[[str, dict[str, Any]], None]


class Entry:
    """One run on its way in."""

    def __init__(self, reserved: Reserved, before: Row | None) -> None:
        self.reserved = reserved
        self.run: str | None = None
        self._before = before

    def used(self, row: Row | None, sandboxes: int, metered: bool) -> dict[str, int]:
        """By metric; tokens were counted at the gateway where the run's models are reached through it."""
        used = {"runs_per_day": 1, "sandboxes_per_day": sandboxes}
        if row is not None:
            used[COST] = round((_cost(row) - _cost(self._before)) * MICRO)
            if not metered:
                used["tokens_per_day"] = _tokens(row) - _tokens(self._before)
        return used


class Door:
    """The door of all runs.

    Attributes:
        tell: told ("run_started" | "run_ended", facts); None where nobody listens.
    """

    def __init__(self, quotas: Quotas, audit: Audit) -> None:
        self._quotas = quotas
        self._audit = audit
        self._tasks: set[asyncio.Task[None]] = set()
        self.tell: Tell | None = None

    @asynccontextmanager
    async def entering(
        self, owner: Owner, action: str, object: str | None = None, before: Row | None = None
    ) -> AsyncGenerator[Entry]:
        """Let a run in; the block begins it, and calls `follow` with its entry.

        Args:
            action: as the audit names it.
            object: what it is done to.
            before: the run's row as it was, where it goes on.

        Raises:
            QuotaReached: a quota is used up.
        """
        entry: Entry | None = None
        try:
            amounts = {"runs_per_day": 1, COST: 1, "sandboxes_per_day": 1, "tokens_per_day": 1, AT_ONCE: 1}
            entry = Entry(await self._quotas.reserve(owner, **amounts), before)
            yield entry
        except BaseException as error:
            if entry is not None:
                entry.reserved.settle()
            outcome = "denied" if isinstance(error, QuotaReached) else "failed"
            code = getattr(error, "code", "") if isinstance(error, FleetError) else ""
            metric = {"quota": error.metric} if isinstance(error, QuotaReached) else {}
            self._audit.record(owner, action, object, outcome, code=code or "internal_error", **metric)
            raise
        self._audit.record(owner, action, entry.run, **({} if object in (None, entry.run) else {"of": object}))

    def follow(self, entry: Entry, live: Live, row: Callable[[], Awaitable[Row]], metered: bool) -> None:
        """A run that was let in has begun: settle its reservation when it is over."""
        entry.run = live.feed.run
        self._later(self._settle(entry, live, row, metered))

    def began(self, feed: Feed) -> None:
        """A kernel has begun a run, or gone on with one; whoever asked for it."""
        self._later(self._count(feed))

    def done(self, owner: Owner, action: str, run: str) -> None:
        """Something was done to a run."""
        self._audit.record(owner, action, run)

    def saw(self, lines: Sequence[bytes]) -> None:
        """Lines of a run's log arrived."""
        latest = _TS.search(lines[-1], 0, 400) if lines else None
        if latest is not None:
            metrics.RELAY_LAG.observe(max(0.0, time.time() - int(latest[1]) / 1e6))

    async def close(self) -> None:
        """Wait until what is over is told."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=5)
        for task in self._tasks:
            task.cancel()

    async def _count(self, feed: Feed) -> None:
        begun = time.monotonic()
        metrics.RUNS_STARTED.inc()
        metrics.RUNS_ACTIVE.inc()
        try:
            if self.tell is not None:
                self.tell(STARTED, {"run": feed.run, "from": feed.first})
            await feed.over()
        finally:
            metrics.RUNS_ACTIVE.dec()
        status = feed.end.status if feed.end is not None else "cut"
        metrics.RUNS_ENDED.labels(status).inc()
        if self.tell is not None:
            seconds = round(time.monotonic() - begun, 3)
            self.tell(ENDED, {"run": feed.run, "status": status, "events": feed.next, "seconds": seconds})

    async def _settle(self, entry: Entry, live: Live, row: Callable[[], Awaitable[Row]], metered: bool) -> None:
        from fleet_rlm.sessions.store import StoreError

        kept: Row | None = None
        try:
            await live.feed.over()
            entry.reserved.ended()
            await live.recorder.finished()
            if entry.reserved.counted:
                kept = await row()
        except StoreError:  # the recorder has said so
            kept = None
        finally:
            entry.reserved.settle(**entry.used(kept, live.feed.sandboxes, metered))

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _cost(row: Row | None) -> float:
    return (row.cost_usd or 0.0) if row is not None else 0.0


def _tokens(row: Row | None) -> int:
    return (row.tokens_in or 0) + (row.tokens_out or 0) if row is not None else 0
