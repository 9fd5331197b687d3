"""Owned: what belongs to one identity of runs and sessions, in memory and in the store.

A run belongs to (tenant, user). For everybody else it does not exist: asking for it gives the same `NotFound` as a name
nobody ever gave. Nothing finds a run or a session of the store but by this, once what kernels wrote while no server
looked has been read in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_rlm.server.services.errors import NotFound
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.runs.live import Live, LiveRuns

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.sessions.store import Scope, Store
    from fleet_rlm.sessions.store.tables import Run as Row

BEGUN_S = 2.0
"""How long to wait for the rows of runs that have just begun."""

logger = logging.getLogger("fleet_rlm")


class Owned:
    """What is whose.

    Args:
        live: the runs that go on.
        store: gives where runs and sessions are kept; called when that is first needed.
        base: the server's FLEET_HOME.

    Raises (every verb):
        NotFound: there is no such run or session for this identity.
        StoreError: the store cannot be used now.
    """

    def __init__(self, live: LiveRuns, store: Callable[[], Store], base: Path) -> None:
        self._live = live
        self._open_store = store
        self._base = base
        self._caught_up: dict[Owner, asyncio.Task[None]] = {}

    async def live(self, identity: Identity, run: str) -> Live | None:
        """A run that goes on, or did a moment ago; None where it is in the store only."""
        live = self._live.owned(run, Owner.of(identity))
        if live is None:
            await self.row(identity, run)
        return live

    async def row(self, identity: Identity, run: str) -> Row:
        """A run as the store has it; of one that has just begun, once it has it."""
        from fleet_rlm.sessions.store import NotFound as NoSuchRow

        live = self._live.owned(run, Owner.of(identity))
        if live is not None:
            await asyncio.shield(live.recorder.begun)
        try:
            return await (await self.scope_now(identity)).runs.aget(run)
        except NoSuchRow:
            raise NotFound("run", run) from None

    async def session(self, identity: Identity, session: str) -> str:
        """The id of a session by its id or its name."""
        from fleet_rlm.sessions.store import NotFound as NoSuchRow

        try:
            return (await (await self.scope_now(identity)).sessions.aget(session)).id
        except NoSuchRow:
            raise NotFound("session", session) from None

    async def scope(self, identity: Identity) -> Scope:
        """The store as that user sees it, with what has just begun."""
        mine = self._live.of(Owner.of(identity))
        beginning = [live.recorder.begun for live in mine if not live.recorder.begun.done()]
        if beginning:
            await asyncio.wait(beginning, timeout=BEGUN_S)
        return await self.scope_now(identity)

    async def scope_now(self, identity: Identity) -> Scope:
        """The store as that user sees it; what has just begun may not be in it yet."""
        owner = Owner.of(identity)
        await asyncio.shield(self.catch_up(owner))
        return self._open_store().scoped(owner.account())

    def catch_up(self, owner: Owner) -> asyncio.Task[None]:
        """Read into the store, once, what kernels wrote while no server looked."""
        if owner not in self._caught_up:
            self._caught_up[owner] = asyncio.create_task(self._read_in(owner))
        return self._caught_up[owner]

    def close(self) -> None:
        """Read nothing in any more."""
        for task in self._caught_up.values():
            task.cancel()

    async def _read_in(self, owner: Owner) -> None:
        from fleet_rlm.sessions.store import StoreError, acatch_up

        try:
            caught = await acatch_up(self._open_store().scoped(owner.account()), owner.home(self._base))
        except StoreError as fault:  # whoever needs the store is told so by the store
            logger.warning("what earlier kernels wrote is not in the store: %s", fault)
            self._caught_up.pop(owner, None)
            return
        for run, why in caught.left.items():
            logger.info("run %s is left as it is: %s", run, why)
