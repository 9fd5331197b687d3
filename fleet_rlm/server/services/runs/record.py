"""Writes what a run tells into the store, beside those who watch it and never in their way.

The kernel has no database; the server writes for it. What is not written yet is read from the feed, and from the run's
file where the feed has let go of it, so there is no queue that could overflow. While the store is away the run goes on,
and what is missing is written when it is back, or by `catch_up` at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from typing import TYPE_CHECKING, Any

from fleet_rlm.core import events as ev
from fleet_rlm.server.services.runs.feed import Batch, Feed
from fleet_rlm.server.services.runs.history import History

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Lease, Scope

DELAY_S = 3.0
"""Between transactions of one run while it goes on: rows are for looking up, who watches is served by the feed, and a
transaction costs as much as three hundred events in it."""

RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
MOST = 1_000

logger = logging.getLogger("fleet_rlm")


class Recorder:
    """The one writer of a run's rows, from its first event to its end.

    Args:
        session, name: id and name of its session.

    Attributes:
        begun: done once the run's row is there; its exception says why it is not.
    """

    def __init__(self, feed: Feed, history: History, scope: Scope, session: str, name: str) -> None:
        self._feed = feed
        self._history = history
        self._scope = scope
        self._session = session
        self._name = name
        self._owner = f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lease: Lease | None = None
        self._stored = -1
        self._start: ev.RunStart | None = None
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._record())

    async def finished(self, timeout: float | None = None) -> None:
        """Wait until all is written or given up, or for so many seconds."""
        await asyncio.wait([self._task], timeout=timeout)

    async def _record(self) -> None:
        from fleet_rlm.sessions.store import StoreError, StoreUnavailable

        failures = 0
        try:
            while not await self._caught_up():
                try:
                    await self._write()
                    failures = 0
                except StoreUnavailable as fault:
                    if not failures:
                        logger.warning("events of run %s wait for the store: %s", self._feed.run, fault)
                    self._fail(fault)
                    await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                    failures += 1
            await self._end()
        except StoreError as fault:
            logger.error("events of run %s are on disk only: %s", self._feed.run, fault)
            self._fail(fault)
        except Exception as fault:  # a run must not end because its record cannot be kept
            logger.exception("events of run %s are on disk only", self._feed.run)
            self._fail(fault)
        finally:
            self._history.close()

    async def _caught_up(self) -> bool:
        """Wait for something to write; True where all is written and the run is over."""
        await self._feed.changed(self._stored + 1)
        if self._feed.next > self._stored + 1:
            if self._stored >= 0 and not self._feed.is_over:
                with contextlib.suppress(TimeoutError):  # more will have come, or the end
                    await asyncio.wait_for(self._feed.over(), DELAY_S)
            return False
        return True

    async def _write(self) -> None:
        if self._lease is None:
            await self._begin()
        assert self._lease is not None
        batch = await self._due(self._stored + 1)
        events = [ev.decode(line) for line in batch.lines[:MOST]]
        if events:
            await self._scope.events.aappend(self._lease, events)
            self._stored = events[-1].seq

    async def _due(self, since: int) -> Batch:
        batch = self._feed.since(since)
        return batch if batch is not None else await self._history.read(since, MOST)

    async def _begin(self) -> None:
        batch = await self._due(0)
        first = ev.decode(batch.lines[0])
        assert isinstance(first, ev.RunStart)
        self._start = first
        await self._row()
        run = await self._scope.runs.abegin(first, session_id=self._session)
        # The kernel has the lock of the log, and we are the kernel's only reader: an earlier writer is gone.
        self._lease = await self._scope.runs.alease(run.id, self._owner, takeover=True)
        self._stored = run.last_seq
        if not self.begun.done():
            self.begun.set_result(None)

    async def _row(self) -> None:
        """Make the session's row if there is none."""
        from fleet_rlm.sessions.store import NameTaken, NotFound

        try:
            await self._scope.sessions.aget(self._session)
        except NotFound:
            try:
                await self._scope.sessions.acreate(self._name, id=self._session)
            except NameTaken:  # by a session that was deleted from disk only
                with contextlib.suppress(NameTaken):  # by somebody who was quicker
                    await self._scope.sessions.acreate(f"{self._name} ({self._session})", id=self._session)

    async def _end(self) -> None:
        assert self._lease is not None
        assert self._start is not None
        await self._scope.runs.arelease(self._lease, cut=self._feed.is_cut)
        run = await self._scope.runs.aget(self._feed.run)
        turns = await self._scope.turns.alist(self._session)
        told: dict[str, Any] = {"answer": None if run.answer is None else str(run.answer), "status": run.status}
        known = next((one for one in turns.items if one.run_id == run.id), None)
        if known is not None:
            await self._scope.turns.aanswer(self._session, known.index, told["answer"], status=told["status"])
        else:
            await self._scope.turns.aappend(self._session, self._start.task, run_id=run.id, **told)

    def _fail(self, fault: Exception) -> None:
        if not self.begun.done():
            self.begun.set_exception(fault)
            self.begun.exception()
