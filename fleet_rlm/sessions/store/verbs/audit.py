"""The audit: who did what, and how it ended; only ever added to, each entry sealing the one before.

Neither tokens nor content belong here. The database refuses to change or delete an entry (grants on Postgres, triggers
on SQLite); the seals show what somebody with the owner's role has changed all the same, unless they sealed all again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import select

from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.store.columns import storable
from fleet_rlm.sessions.store.page import LIMIT, Page
from fleet_rlm.sessions.store.tables import Audit
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, named, verb

Detail = Mapping[str, str | int | bool | None]

_BATCH = 1_000


class AuditTrail(Verbs):
    """The audit of one tenant; the scope's user is the actor."""

    @verb
    async def arecord(
        self, action: str, *, object: str | None = None, outcome: str = "ok", detail: Detail | None = None
    ) -> Audit:
        """Add an entry.

        Args:
            action: such as "run.start", "login", "settings.change".
            object: what it was done to.
            outcome: "ok", "denied", "failed".
            detail: texts and whole numbers.

        Raises:
            UserError: the detail holds something else.
        """
        for name, value in (detail or {}).items():
            if not isinstance(value, (str, int, bool, type(None))):
                raise UserError(f"audit detail {name!r} must be a text or a whole number, not {type(value).__name__}")
        entry = Audit(
            seq=0,
            actor=self.identity.user,
            action=named("action", action),
            object=storable(object),
            outcome=named("outcome", outcome),
            detail=storable(dict(detail or {})),
        )
        async with self._write() as unit:
            await unit.locked("audit")
            last = await unit.first(select(Audit).order_by(Audit.seq.desc()))
            entry.seq = last.seq + 1 if last else 0
            entry.hash = _seal(entry, last.hash if last else "")
            await unit.insert(entry)
        return entry

    @verb
    async def alist(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        object: str | None = None,
        outcome: str | None = None,
        after: datetime.datetime | None = None,
        before: datetime.datetime | None = None,
        below: int | None = None,
        limit: int = LIMIT,
        offset: int = 0,
    ) -> Page[Audit]:
        """Entries, the latest first.

        Args:
            after, before: aware times; the first is included, the second not.
            below: entries with smaller numbers only: a place that stays where it is while others are added.
        """
        query = select(Audit)
        wanted = ((Audit.action, action), (Audit.actor, actor), (Audit.object, object), (Audit.outcome, outcome))
        for column, value in wanted:
            if value is not None:
                query = query.where(column == value)
        if after is not None:
            query = query.where(Audit.at >= after)
        if before is not None:
            query = query.where(Audit.at < before)
        if below is not None:
            query = query.where(Audit.seq < below)
        async with self._read() as unit:
            return await unit.page(query, limit, offset, (Audit.seq.desc(),))

    @verb
    async def averify(self) -> int | None:
        """The number of the first entry whose seal is wrong or that is missing; None where all is as it was written."""
        due, before = 0, ""
        async with self._read() as unit:
            while True:
                query = select(Audit).where(Audit.seq >= due).order_by(Audit.seq).limit(_BATCH)
                entries = await unit.all(query)
                for entry in entries:
                    if entry.seq != due or entry.hash != _seal(entry, before):
                        return due
                    due, before = due + 1, entry.hash
                if len(entries) < _BATCH:
                    return None

    record = blocking(arecord)
    list = blocking(alist)
    verify = blocking(averify)


def _seal(entry: Audit, before: str) -> str:
    said = [
        *(before, entry.seq, entry.at.isoformat(), entry.actor, entry.action, entry.object, entry.outcome),
        entry.detail,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
