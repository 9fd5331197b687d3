"""Door: what is asked before a run begins, and what is told of it outside when it begins, goes on and ends.

Before: the quotas. After: the audit, the server's metrics, and the events of the Jupyter server. A run keeps its place
until it is over, whatever ends it, and what it uses is charged as its events tell; one that uses a quota up makes no
model call any more. Model calls through the gateway are charged there, before they are made.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.errors import FleetError
from fleet_rlm.server import metrics
from fleet_rlm.server.services.allowances import AT_ONCE, COST, MICRO
from fleet_rlm.server.services.audit import Audit
from fleet_rlm.server.services.errors import ServiceError
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.quotas import RETRY_S, QuotaReached, Quotas, Reserved
from fleet_rlm.server.services.runs.feed import Feed, Spent

if TYPE_CHECKING:
    from fleet_rlm.server.services.runs.live import Live

STARTED, ENDED = "run_started", "run_ended"

_TS = re.compile(rb'"ts":(\d+)')

PLACE = {"runs_per_day": 1, COST: 1, "sandboxes_per_day": 1, "tokens_per_day": 1, AT_ONCE: 1}
"""What a run takes with it when it begins: of what it spends, the least there is, so that something is left of it."""

Tell = Callable[[str, dict[str, Any]], None]

logger = logging.getLogger("fleet_rlm")


class Entry:
    """One run on its way in; `is_new` where it has no past that was charged before."""

    def __init__(self, reserved: Reserved, is_new: bool) -> None:
        self.reserved = reserved
        self.is_new = is_new
        self.run: str | None = None
        self.charged = Spent()
        self.is_spent_out = False


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
    async def entering(self, owner: Owner, action: str, object: str | None = None) -> AsyncGenerator[Entry]:
        """Let a run in; the block begins it, and calls `follow` with its entry.

        Args:
            action: as the audit names it.
            object: the run that it is done to; a new one has none.

        Raises:
            QuotaReached: a quota is used up.
        """
        entry: Entry | None = None
        try:
            entry = Entry(await self._quotas.reserve(owner, **PLACE), is_new=object is None)
            yield entry
        except BaseException as error:
            if entry is not None:
                entry.reserved.close()
            outcome = "denied" if isinstance(error, QuotaReached) else "failed"
            code = getattr(error, "code", "") if isinstance(error, FleetError) else ""
            metric = {"quota": error.metric} if isinstance(error, QuotaReached) else {}
            self._audit.record(owner, action, object, outcome, code=code or "internal_error", **metric)
            raise
        self._audit.record(owner, action, entry.run, **({} if object in (None, entry.run) else {"of": object}))

    def follow(self, entry: Entry, live: Live, metered: bool) -> None:
        """A run that was let in has begun: charge what it uses, until it is over.

        Args:
            metered: its model calls are charged at the gateway.
        """
        entry.run = live.feed.run
        entry.reserved.settle(**{"runs_per_day": 1, "tokens_per_day": 0, COST: 0})
        self._later(self._follow(entry, live, metered))

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

    async def _follow(self, entry: Entry, live: Live, metered: bool) -> None:
        feed, seen, is_over = live.feed, Spent(), False
        try:
            while not is_over:
                seen = await feed.used(seen)
                is_over = feed.is_over
                if is_over:
                    entry.reserved.settle(**{AT_ONCE: 1})  # before anything that takes time: the next one may wait
                is_charged = await self._charge(entry, live, metered)
            for delay in () if is_charged else RETRY_S:
                await asyncio.sleep(delay)
                if await self._charge(entry, live, metered):
                    break
        finally:
            entry.reserved.close()

    async def _charge(self, entry: Entry, live: Live, metered: bool) -> bool:
        """Count what was used since the last time, and end the spending of a run that has used up a quota.

        Returns:
            whether it is counted; else it is the next time.
        """
        from fleet_rlm.sessions.store import StoreError

        if not (entry.is_new or live.feed.goes_on):  # what it shares with its past was charged then
            return True
        spent, charged, owner = dataclasses.replace(live.feed.spent), entry.charged, entry.reserved.owner
        if spent.sandboxes > charged.sandboxes and entry.reserved.holds("sandboxes_per_day"):
            entry.reserved.settle(sandboxes_per_day=1)
            charged.sandboxes += 1
        try:
            await self._quotas.charge(owner, sandboxes_per_day=spent.sandboxes - charged.sandboxes)
            charged.sandboxes = spent.sandboxes
            if metered:
                return True
            cost = round(spent.usd * MICRO) - round(charged.usd * MICRO)
            used_up = await self._quotas.charge(owner, **{"tokens_per_day": spent.tokens - charged.tokens, COST: cost})
            charged.tokens, charged.usd = spent.tokens, spent.usd
            if used_up is not None and not entry.is_spent_out and not live.feed.is_over:
                entry.is_spent_out = True
                await live.held.link.ask("spend_out", run=live.feed.run, why=str(used_up))
        except StoreError as fault:
            logger.warning("what run %s used is not counted yet: %s", live.feed.run, fault)
            return False
        except (ServiceError, TimeoutError) as fault:
            logger.warning("run %s goes on beyond a quota, its kernel does not hear: %s", live.feed.run, fault)
        return True

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
