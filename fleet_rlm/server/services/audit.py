"""Audit: notes who did what, beside the request and in order; the store only ever adds to it.

An entry holds ids, codes and counts: no token, no question, no content. One that cannot be stored is written to the log
whole and counted, and the request it belongs to goes on. What was not allowed or failed is folded where it is many
times the same, because whoever is refused may ask as often as they like.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fleet_rlm.core.errors import FleetError
from fleet_rlm.server import metrics
from fleet_rlm.server.services.folding import Detail, Entry, Folding
from fleet_rlm.server.services.owner import Owner

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.sessions.store import Store

WAITING = 10_000
CLOSE_S = 10.0
NOBODY = Owner("server", "nobody")
"""Whose entry it is where nobody was let in."""

logger = logging.getLogger("fleet_rlm")


class Audit:
    """The audit trails of all tenants.

    Args:
        store: gives where they are kept; called when that is first needed.
    """

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._entries: asyncio.Queue[Entry] = asyncio.Queue(WAITING)
        self._writer: asyncio.Task[None] | None = None
        self._folding = Folding(self._queue)

    def record(
        self, owner: Owner, action: str, object: str | None = None, outcome: str = "ok", **detail: Detail
    ) -> None:
        """Note something; it is stored meanwhile."""
        entry = Entry(owner, action, object, outcome, detail)
        if outcome == "ok":
            self._queue(entry)
        else:
            self._folding.take(entry)

    def denied(self, identity: Identity, action: str, resource: str) -> None:
        """Note that somebody who is signed in may not do that."""
        self.record(Owner.of(identity), "permission_denied", resource, "denied", code=action)

    def sign_in(self, what: str, facts: Mapping[str, str]) -> None:
        """Note what an identity provider tells of a sign-in."""
        known = "tid" in facts and "oid" in facts
        owner = Owner(facts["tid"], facts["oid"]) if known else NOBODY
        detail = {name: facts[name] for name in ("ip", "uti", "azp", "code") if name in facts}
        outcome = "denied" if what == "refused" else "ok"
        self.record(owner, "sign_in" if what == "refused" else what, None, outcome, **detail)

    async def close(self) -> None:
        """Store what waits."""
        self._folding.flush()
        if self._writer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._entries.join()
        except TimeoutError:
            while not self._entries.empty():
                self._lost(self._entries.get_nowait(), "the server stops")
        self._writer.cancel()

    def _queue(self, entry: Entry) -> None:
        try:
            self._entries.put_nowait(entry)
        except asyncio.QueueFull:
            self._lost(entry, "too many wait for the store")
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while True:
            entry = await self._entries.get()
            try:
                trail = self._store().scoped(entry.owner.account()).audit
                await trail.arecord(entry.action, object=entry.object, outcome=entry.outcome, detail=entry.detail)
            except FleetError as fault:
                self._lost(entry, str(fault))
            except Exception:  # one entry must not be the last one
                logger.exception("the audit failed")
                self._lost(entry, "it failed")
            finally:
                self._entries.task_done()

    def _lost(self, entry: Entry, why: str) -> None:
        metrics.AUDIT_FAILURES.inc()
        logger.error("an entry of the audit is in this log only (%s): %s", why, entry)
