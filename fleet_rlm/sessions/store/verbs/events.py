"""Events: a run's log as it was written, appended once each by the holder of its lease."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.store.derived import derive, goes_on
from fleet_rlm.sessions.store.errors import NotFound
from fleet_rlm.sessions.store.page import checked
from fleet_rlm.sessions.store.tables import Event, Run
from fleet_rlm.sessions.store.unit import Unit
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, verb
from fleet_rlm.sessions.store.verbs.runs import LEASE_S, Lease, hold

MOST = 10_000


class Events(Verbs):
    """The events of one user's runs."""

    @verb
    async def aappend(self, lease: Lease, events: Sequence[ev.Event], *, seconds: float = LEASE_S) -> None:
        """Add events that follow the last stored one; those that are there already stay as they are.

        Spans, artifacts and the run's end are derived from them in the same transaction.

        Raises:
            LeaseLost: another writer has the run; nothing was written.
            UserError: the events have a gap, or do not follow what is stored.
        """
        if events:
            async with self._write() as unit:
                await append(unit, lease, events, seconds)

    @verb
    async def asince(self, run: str, seq: int = 0, limit: int = 1_000) -> list[ev.Event]:
        """Up to `limit` events with `event.seq >= seq`, in order."""
        checked(limit, 0, MOST)
        async with self._read() as unit:
            query = select(Event.payload).where(Event.run_id == run, Event.seq >= seq).order_by(Event.seq).limit(limit)
            return [ev.decode(line) for line in await unit.all(query)]

    @verb
    async def alast_seq(self, run: str) -> int:
        """The number of the last event that is stored; -1 where there is none.

        Raises:
            NotFound: there is no such run.
        """
        async with self._read() as unit:
            last = await unit.first(select(Run.last_seq).where(Run.id == run))
        if last is None:
            raise NotFound("run", run)
        return last

    append = blocking(aappend)
    since = blocking(asince)
    last_seq = blocking(alast_seq)


async def append(unit: Unit, lease: Lease, events: Sequence[ev.Event], seconds: float) -> None:
    """`Events.aappend` in a transaction that is under way."""
    first, last = events[0].seq, events[-1].seq
    if last - first + 1 != len(events):
        raise UserError(f"run {lease.run}: events {first} to {last} are {len(events)}; a batch has no gap")
    stored = await unit.first(select(Run.last_seq).where(Run.id == lease.run))
    if stored is None:
        raise NotFound("run", lease.run)
    changes: dict[str, object] = {"last_seq": max(last, stored)}
    if last > stored and goes_on(events):
        changes |= {"status": "running", "ended_at": None}
    await hold(unit, lease, seconds, **changes)
    if first > stored + 1:
        raise UserError(f"run {lease.run}: event {stored + 1} comes next, not {first}; append from there")
    tenant = unit.identity.tenant
    rows = [
        {
            "tenant_id": tenant,
            "run_id": lease.run,
            "seq": event.seq,
            "ts": event.ts,
            "kind": type(event).__struct_config__.tag,
            "span": event.span,
            "payload": ev.encode(event).decode(),
        }
        for event in events
    ]
    await unit.insert_rows(Event, rows, again="stays")
    await derive(unit, lease.run, events)
