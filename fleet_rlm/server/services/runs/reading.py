"""Reading: what runs tell, for one identity at a time: where each is, its spans, its events.

What a run is told by its kernel goes into a `Feed`; what was told before is read from the run's file or the store, so
`events` has neither gap nor duplicate wherever it begins.

    async for batch in reading.events(identity, run, since=0):
        ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fleet_rlm.core.tree import Tree
from fleet_rlm.server.services.errors import Refused, Unavailable
from fleet_rlm.server.services.kernels.service import Kernels
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.page import Page
from fleet_rlm.server.services.runs.feed import Batch
from fleet_rlm.server.services.runs.history import MOST, History
from fleet_rlm.server.services.runs.live import LiveRuns, Starts
from fleet_rlm.server.services.runs.models import EventPage, Run, Span
from fleet_rlm.server.services.runs.owned import Owned
from fleet_rlm.server.services.runs.shown import fold, run_of, span_of

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity

WRITTEN_S = 2.0
"""How long to wait for the last rows of a run that has just ended."""


class Reading:
    """What the runs of everybody tell; each verb sees those of the identity it is given.

    Args:
        owned: finds what is that identity's.
        live: the runs that go on.
        kernels: where sessions are open.
        base: the server's FLEET_HOME.

    Raises (every verb that names a run or a session):
        NotFound: there is no such thing for this identity.
        StoreError: the store cannot be used now.
    """

    def __init__(self, owned: Owned, live: LiveRuns, kernels: Kernels, base: Path) -> None:
        self._owned = owned
        self._live = live
        self._kernels = kernels
        self._base = base

    async def get(self, identity: Identity, run: str) -> Run:
        """One run."""
        live = await self._owned.live(identity, run)
        if live is not None and live.feed.is_over:
            await live.recorder.finished(timeout=WRITTEN_S)  # it is about to have the figures too
        return run_of(await self._owned.row(identity, run), live)

    async def list(
        self,
        identity: Identity,
        *,
        session: str | None = None,
        status: str | None = None,
        search: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[Run]:
        """Runs, the latest first; `session` is an id or a name, `search` a part of the task."""
        scope = await self._owned.scope(identity)
        if session is not None:
            session = await self._owned.session(identity, session)
        page = await scope.runs.alist(session_id=session, status=status, search=search, limit=limit, offset=offset)
        items = [run_of(row, self._live.get(row.id)) for row in page.items]
        return Page(items=items, total=page.total, offset=offset, limit=limit, has_more=page.has_more)

    async def spans(self, identity: Identity, run: str) -> tuple[Span, ...]:
        """All spans of a run in order of start, those that go on too."""
        tree = Tree()
        async for batch in self.written(identity, run):
            await asyncio.to_thread(fold, tree, batch)
        return tuple(span_of(node) for node in tree.spans.values())

    async def events(self, identity: Identity, run: str, since: int = 0) -> AsyncGenerator[Batch]:
        """The events from `since` on: those that were, then those that come, until the run is over."""
        await self._owned.live(identity, run)
        await self.check_place(identity, run, since)
        place = since
        while True:
            live = self._live.get(run)
            batch = live.feed.since(place) if live is not None else None
            if batch is None:  # older than what is in memory, or all of it long over
                before = place
                async with aclosing(self.written(identity, run, place)) as past:
                    async for batch in past:
                        place = batch.next
                        yield batch
                if place == before and self._live.get(run) is None:
                    return
            elif batch.lines:
                place = batch.next
                yield batch
            elif live is None or live.feed.is_over:
                return
            else:
                await live.feed.changed(place)

    async def page(self, identity: Identity, run: str, since: int = 0, limit: int = 1_000) -> EventPage:
        """Up to `limit` events from `since` on, without waiting for more."""
        await self.check_place(identity, run, since)
        lines: list[bytes] = []
        async with aclosing(self.written(identity, run, since)) as past:
            async for batch in past:
                lines += batch.lines
                if len(lines) >= limit:
                    break
        lines = lines[:limit]
        live = self._live.get(run)
        following = since + len(lines)
        ended = (live is None or live.feed.is_over) and (
            len(lines) < limit or (await self.get(identity, run)).next <= following
        )
        events = [msgspec.json.decode(line) for line in lines]
        return EventPage(run=run, since=since, next=following, ended=ended, events=events)

    async def written(self, identity: Identity, run: str, since: int = 0) -> AsyncGenerator[Batch]:
        """The events that there are from `since` on, without waiting for more."""
        live = await self._owned.live(identity, run)
        home = live.held.home if live is not None else Owner.of(identity).home(self._base)
        history = History(run, home / "runs" / run, await self._owned.scope_now(identity))
        try:
            while True:
                batch = live.feed.since(since) if live is not None else None
                if batch is None:
                    batch = await history.read(since, MOST)
                if not batch.lines:
                    if live is not None and since < live.feed.first:
                        raise Unavailable(f"events {since} to {live.feed.first - 1} of run {run} cannot be read now")
                    return
                yield batch
                since = batch.next
        finally:
            history.close()

    @asynccontextmanager
    async def beginning_in(self, identity: Identity, session: str) -> AsyncGenerator[Starts]:
        """Runs of a session as they begin or go on, while the block lasts, first the one that goes on now."""
        owner = Owner.of(identity)
        held = self._kernels.find(owner, session)
        key = held.session if held is not None else await self._owned.session(identity, session)
        with self._live.beginning_in(owner, key) as starts:
            yield starts

    async def check_place(self, identity: Identity, run: str, since: int) -> None:
        """Whoever reads on from behind the end would miss what a resumed run writes there.

        Raises:
            Refused: the run has not that many events.
        """
        if since and since > (following := (await self.get(identity, run)).next):
            raise Refused(
                f"run {run} has {following} events, so none can be read from {since} on; its next is {following}"
            )
