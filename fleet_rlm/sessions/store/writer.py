"""Writes a run's log into the store while the run goes on, and never stands in its way.

The log calls the writer under its lock, so the writer only notes that there is something; what there is it reads from
the log when it writes. It keeps no queue, so nothing can be lost between the two: what the store has not got is what
comes after `stored`. One task writes, up to `MOST` events per transaction; it starts `DELAY_S` after the first event
that is not stored, at once where a run begins or ends, something failed, or `BATCH` events wait.

While the database is away the run goes on. Its events stay in the log (in memory, and in the run's own file on disk)
and are written when a retry succeeds; where the process ends first, `catch_up` reads them from disk. A lease with a
number makes sure that there is one writer: this one stops for good when another has taken over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket

import msgspec

from fleet_rlm.core import events as ev
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import background_loop
from fleet_rlm.sessions.store.errors import StoreError, StoreUnavailable
from fleet_rlm.sessions.store.store import Scope
from fleet_rlm.sessions.store.verbs.base import blocking, verb
from fleet_rlm.sessions.store.verbs.runs import LEASE_S, Lease

BATCH = 200
DELAY_S = 0.1
MOST = 1_000
RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

OWNER = "owner.json"
"""Beside a run's log: whose run it is, for `catch_up`."""

logger = logging.getLogger("fleet_rlm")


class EventWriter:
    """The one writer of a run's record.

    Args:
        scope: whose run it is.
        log: the run's log; it may hold events already.
        session_id: the session the run belongs to.
        lease_s: how long the lease outlives this writer, should its process die.

    Attributes:
        stored: the number of the last event that the store has; -1 before the first.
        fault: why events are not being stored at present; None where all is well.
    """

    def __init__(self, scope: Scope, log: RunLog, *, session_id: str | None = None, lease_s: float = LEASE_S) -> None:
        self._scope = scope
        self._log = log
        self._session_id = session_id
        self._lease_s = lease_s
        self._owner = f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._loop = background_loop()
        self._lease: Lease | None = None
        self._last = -1
        self._is_told = False  # the loop knows that something waits
        self._is_urgent = False
        self._is_over = False  # nothing will be written any more
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.stored = -1
        self.fault: StoreError | None = None
        if log.directory is not None:
            # Where this cannot be written the log could not either, and has said so.
            with contextlib.suppress(OSError):
                _note_owner(scope, log, session_id)
        self._unsubscribe = log.subscribe(self._take, since=0)

    @verb
    async def aflush(self) -> None:
        """Write what there is now, without waiting for the timer or the next retry.

        Raises:
            StoreError: not all could be stored; what is missing is in the run's log.
        """
        while not self._is_over:
            await asyncio.wait({self._start()})  # whoever waits may be cancelled; the writing is not
            if self.stored >= self._last or self.fault is not None:
                break
        if self._task is not None and not self._task.done():  # it is giving the lease back
            await asyncio.wait({self._task})
        if self.stored < self._last and self.fault is not None:
            raise self.fault

    @verb
    async def aclose(self) -> None:
        """Write what is left, give the lease back and stop watching.

        Raises:
            StoreError: not all could be stored; what is missing is in the run's log.
        """
        try:
            await self.aflush()
        finally:
            if not self._is_over:
                await self._stop()

    flush = blocking(aflush)
    close = blocking(aclose)

    def _take(self, event: ev.Event) -> None:
        """Under the log's lock: note, and wake the loop if it does not know yet."""
        self._last = event.seq
        urgent = _is_urgent(event) or self._last - self.stored >= BATCH
        if not self._is_told or (urgent and not self._is_urgent):
            self._is_told, self._is_urgent = True, urgent
            self._loop.call_soon_threadsafe(self._wake, urgent)

    def _wake(self, urgent: bool) -> None:
        if self._is_over or self.fault is not None:  # a retry is due, and will find this too
            return
        if urgent:
            self._start()
        elif self._task is None or self._task.done():
            self._at(DELAY_S)

    def _at(self, seconds: float) -> None:
        """Write in a while; there is one timer, and the nearest time wins."""
        due = self._loop.time() + seconds
        if self._timer is not None and not self._timer.cancelled():
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._start)

    def _start(self) -> asyncio.Task[None]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._write())
        return self._task

    async def _write(self) -> None:
        try:
            await self._write_all()
        except StoreUnavailable as error:
            self._tell(error)
            self._at(RETRY_S[min(self._failures, len(RETRY_S) - 1)])
            self._failures += 1
        except StoreError as error:  # taken over, damaged, too new, not ours: trying again would not help
            self._tell(error)
            self._end()
        except Exception as error:  # the record of a run must not end the run, whatever is wrong with it
            logger.exception("the events of run %s are not stored any more", self._log.run)
            self._tell(StoreError(f"the store failed with {type(error).__name__}: {error}"))
            self._end()

    async def _write_all(self) -> None:
        """Write until nothing waits; with nothing to write, renew the lease."""
        runs = self._scope.runs
        if self._last < 0:
            return
        if self._lease is None:
            await self._take_over()
        elif self.stored == self._last:
            await runs.arenew(self._lease, self._lease_s)
        assert self._lease is not None
        while True:
            self._is_told = self._is_urgent = False
            batch = self._log.events_since(self.stored + 1)[:MOST]
            if not batch:
                break
            await self._scope.events.aappend(self._lease, batch, seconds=self._lease_s)
            self.stored = batch[-1].seq
        if self.fault is not None:
            self.fault, self._failures = None, 0
            self._note("info", "the store is back, and all events of this run are in it")
        if isinstance(batch_end := self._log.events_since(self.stored)[0], ev.RunEnd) and batch_end.seq == self._last:
            await self._stop()
        else:
            self._at(self._lease_s / 3)

    async def _take_over(self) -> None:
        first = self._log.events_since(0)[0]
        if not isinstance(first, ev.RunStart):
            raise StoreError(f"run {self._log.run} does not begin with run.start, so the store cannot file it")
        run = await self._scope.runs.abegin(first, session_id=self._session_id)
        # Whoever has the log open on disk holds its lock, so an earlier writer is gone.
        self._lease = await self._scope.runs.alease(
            run.id, self._owner, seconds=self._lease_s, takeover=self._log.directory is not None
        )
        self.stored = run.last_seq

    async def _stop(self) -> None:
        self._end()
        if self._lease is not None and self.fault is None:
            with contextlib.suppress(StoreUnavailable):  # it lapses by itself
                await self._scope.runs.arelease(self._lease)

    def _end(self) -> None:
        self._is_over = True
        self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, error: StoreError) -> None:
        if self.fault is None:
            where = f" in {self._log.directory}" if self._log.directory else " in memory only"
            self._note("warning", f"events of this run are kept{where} until they can be stored: {error}")
        self.fault = error

    def _note(self, level: str, text: str) -> None:
        if not self._log.is_closed:
            self._log.emit(ev.Note(level=level, text=text))  # type: ignore[arg-type]
        else:
            logger.warning("run %s: %s", self._log.run, text)


def _is_urgent(event: ev.Event) -> bool:
    failed = isinstance(event, ev.SpanEnd) and event.status == "error"
    return failed or isinstance(event, (ev.RunStart, ev.RunEnd))


def _note_owner(scope: Scope, log: RunLog, session_id: str | None) -> None:
    assert log.directory is not None
    identity = scope.identity
    owner = {"tenant": identity.tenant, "user": identity.user, "session": session_id}
    (log.directory / OWNER).write_text(json.dumps(owner), encoding="utf-8")


class Ownership(msgspec.Struct):
    """What `owner.json` says."""

    tenant: str
    user: str
    session: str | None = None
