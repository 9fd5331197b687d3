"""Runs: begun as their logs say, listed, and leased to one writer at a time; what ends one is its last event.

A lease has a number that grows with each new holder. Whoever writes shows its number, so a writer that was away and
comes back (a closed laptop, a stopped process) finds out before it writes.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from sqlalchemy import delete, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from fleet_rlm.core import events as ev
from fleet_rlm.sessions.store.columns import moment, now
from fleet_rlm.sessions.store.errors import LeaseLost, NotFound
from fleet_rlm.sessions.store.page import LIMIT, Page
from fleet_rlm.sessions.store.tables import Run
from fleet_rlm.sessions.store.unit import Unit
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, verb

LEASE_S = 60.0


@dataclass(frozen=True)
class Lease:
    """The right to write a run, until somebody takes it over after it has lapsed."""

    run: str
    owner: str
    fence: int


class Runs(Verbs):
    """The runs of one user."""

    @verb
    async def abegin(self, start: ev.RunStart, *, session_id: str | None = None) -> Run:
        """The row of a run whose log begins with `start`; made once, however often this is called.

        Args:
            session_id: the id of the session it belongs to.

        Raises:
            NotFound: there is no such session, or the run's id is in use by somebody else.
        """
        run = Run(
            id=start.run,
            session_id=session_id,
            parent_run=start.parent_run,
            task=start.task,
            mode=start.mode,
            model=start.model,
            sub_model=start.sub_model,
            offline=start.offline,
            started_at=moment(start.ts),
        )
        async with self._write() as unit:
            try:
                await unit.insert(run, again="stays")
            except IntegrityError as error:
                raise NotFound("session", session_id or "") from error
            return await found(unit, start.run)

    @verb
    async def aget(self, id: str) -> Run:
        """One run.

        Raises:
            NotFound: there is none.
        """
        async with self._read() as unit:
            return await found(unit, id)

    @verb
    async def alist(
        self,
        *,
        session_id: str | None = None,
        status: str | None = None,
        parent_run: str | None = None,
        search: str | None = None,
        started_after: datetime.datetime | None = None,
        started_before: datetime.datetime | None = None,
        limit: int = LIMIT,
        offset: int = 0,
    ) -> Page[Run]:
        """Runs, the latest first; `search` is a part of the task."""
        query = select(Run)
        for column, wanted in ((Run.session_id, session_id), (Run.status, status), (Run.parent_run, parent_run)):
            if wanted is not None:
                query = query.where(column == wanted)
        if search:
            query = query.where(Run.task.icontains(search, autoescape=True))
        if started_after is not None:
            query = query.where(Run.started_at >= started_after)
        if started_before is not None:
            query = query.where(Run.started_at < started_before)
        async with self._read() as unit:
            return await unit.page(query, limit, offset, (Run.started_at.desc(), Run.id))

    @verb
    async def adelete(self, id: str) -> None:
        """Delete a run with its events, spans, artifacts' rows and feedback, for good.

        Raises:
            NotFound: there is no such run.
        """
        async with self._write() as unit:
            if not await unit.change(delete(Run).where(Run.id == id)):
                raise NotFound("run", id)

    @verb
    async def alease(self, id: str, owner: str, *, seconds: float = LEASE_S, takeover: bool = False) -> Lease:
        """Become the run's one writer, for `seconds`, longer with every batch that is written.

        Args:
            owner: who this is, unique among processes.
            takeover: do not wait until an earlier lease lapses; for whoever knows that its holder is gone, such as the
                process that holds the lock of the run's log.

        Raises:
            LeaseLost: somebody else holds it and is alive.
            NotFound: there is no such run.
        """
        async with self._write() as unit:
            present = now()
            free = or_(Run.lease_owner.is_(None), Run.lease_owner == owner, Run.lease_until < present)
            taken = await unit.change(
                update(Run)
                .where(Run.id == id, true() if takeover else free)
                .values(
                    lease_owner=owner,
                    lease_fence=Run.lease_fence + 1,
                    lease_until=present + datetime.timedelta(seconds=seconds),
                )
            )
            run = await found(unit, id)
            if not taken:
                raise LeaseLost(f"run {id} is being written by {run.lease_owner}; wait until it has ended")
            return Lease(id, owner, run.lease_fence)

    @verb
    async def arenew(self, lease: Lease, seconds: float = LEASE_S) -> None:
        """Keep a lease while there is nothing to write.

        Raises:
            LeaseLost: somebody else has it now.
        """
        async with self._write() as unit:
            await hold(unit, lease, seconds)

    @verb
    async def arelease(self, lease: Lease, *, cut: bool = False) -> None:
        """Give a lease back; doing it twice, or too late, is harmless.

        Args:
            cut: the run's process is gone; where no end was written, the run's status becomes "cut".
        """
        async with self._write() as unit:
            mine = update(Run).where(Run.id == lease.run, Run.lease_fence == lease.fence)
            await unit.change(mine.values(lease_owner=None, lease_until=None))
            if cut:
                await unit.change(mine.where(Run.status == "running").values(status="cut"))

    @verb
    async def aprogress(self) -> dict[str, int]:
        """The last event that is stored of every run that is not running, by run."""
        async with self._read() as unit:
            return dict(await unit.rows(select(Run.id, Run.last_seq).where(Run.status != "running")))

    begin = blocking(abegin)
    get = blocking(aget)
    list = blocking(alist)
    delete = blocking(adelete)
    lease = blocking(alease)
    renew = blocking(arenew)
    release = blocking(arelease)
    progress = blocking(aprogress)


async def hold(unit: Unit, lease: Lease, seconds: float, **changes: object) -> None:
    """Show the lease's number and lengthen it, in the transaction that writes.

    Raises:
        LeaseLost: the number is not the run's any more; the transaction must not be committed.
    """
    values = {"lease_until": now() + datetime.timedelta(seconds=seconds), **changes}
    held = update(Run).where(Run.id == lease.run, Run.lease_owner == lease.owner, Run.lease_fence == lease.fence)
    if not await unit.change(held.values(**values)):
        raise LeaseLost(f"run {lease.run} was taken over by another writer; its log on disk has what is missing")


async def found(unit: Unit, id: str) -> Run:
    """The run of an id, in a transaction that is under way.

    Raises:
        NotFound: there is none.
    """
    run = await unit.first(select(Run).where(Run.id == id))
    if run is None:
        raise NotFound("run", id)
    return run
