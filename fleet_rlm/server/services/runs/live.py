"""The runs that go on: each one's feed, fed by its kernel, written by its recorder, until it is over or cut.

What a kernel tells may be told twice, late, or not at all. A feed takes each event once; a gap, and an end that did not
come, are asked for again; and what a dead kernel wrote and did not send is read from its files before the run is cut.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_rlm.server.services.errors import ServiceError
from fleet_rlm.server.services.kernels.service import Held
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.runs.door import Door
from fleet_rlm.server.services.runs.feed import Batch, Feed
from fleet_rlm.server.services.runs.history import History
from fleet_rlm.server.services.runs.record import Recorder

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Store

KEPT_S = 30.0
"""How long the latest events of a run that is over stay in memory: longer than its kernel tells of it."""

Starts = asyncio.Queue[tuple[str, int]]
"""Runs, and the number of the first event to come of each."""

logger = logging.getLogger("fleet_rlm")


@dataclass(eq=False)
class Live:
    """A run that goes on in a kernel, or did a moment ago."""

    held: Held
    feed: Feed
    recorder: Recorder
    is_asking_tail: bool = False


class LiveRuns:
    """The runs of everybody that go on, or did a moment ago. Listens to the kernels.

    Args:
        store: gives where runs are kept; called when that is first needed.
        door: is told what runs tell.
    """

    def __init__(self, store: Callable[[], Store], door: Door) -> None:
        self._open_store = store
        self._door = door
        self._runs: dict[str, Live] = {}
        self._watching: dict[tuple[Owner, str], set[Starts]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def get(self, run: str) -> Live | None:
        """A run, whoever owns it."""
        return self._runs.get(run)

    def owned(self, run: str, owner: Owner) -> Live | None:
        """A run of this owner."""
        live = self._runs.get(run)
        return live if live is not None and live.held.owner == owner else None

    def of(self, owner: Owner) -> Iterator[Live]:
        """All runs of an owner."""
        return (live for live in self._runs.values() if live.held.owner == owner)

    def begin(self, held: Held, run: str, first: int) -> Live:
        """A run goes on in a kernel, and its events come from number `first` on."""
        feed = Feed(run, first)
        self._door.began(feed)
        scope = self._open_store().scoped(held.owner.account())
        history = History(run, held.home / "runs" / run, scope)
        live = self._runs[run] = Live(held, feed, Recorder(feed, history, scope, held.session, held.name))
        for watching in self._watching.get((held.owner, held.session), ()):
            watching.put_nowait((run, first))
        return live

    async def leave(self, run: str) -> None:
        """A run that is over is about to go on: let what was recorded of it be written, and begin anew."""
        live = self._runs.pop(run, None)
        if live is not None:
            await live.recorder.finished()

    async def forget(self, owner: Owner, session: str) -> None:
        """Let the runs of a session, which are over, be written to their end, and keep nothing of them."""
        for live in [one for one in self.of(owner) if one.held.session == session]:
            await self.leave(live.feed.run)

    @contextmanager
    def beginning_in(self, owner: Owner, session: str) -> Iterator[Starts]:
        """Runs of a session as they begin or go on, while the block lasts, first the one that goes on now."""
        starts: Starts = asyncio.Queue()
        self._watching.setdefault((owner, session), set()).add(starts)
        try:
            for live in self.of(owner):
                if live.held.session == session and not live.feed.is_over:
                    starts.put_nowait((live.feed.run, 0))
            yield starts
        finally:
            self._watching[owner, session].discard(starts)
            if not self._watching[owner, session]:
                del self._watching[owner, session]

    async def close(self) -> None:
        """Write what is left; call it after the kernels have ended."""
        waiting = [asyncio.ensure_future(live.recorder.finished()) for live in self._runs.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=10)
        for task in self._tasks:
            task.cancel()

    def on_events(self, held: Held, run: str, first: int, lines: list[bytes]) -> None:
        """Lines of a run arrived from its kernel."""
        live = self._runs.get(run) or self.begin(held, run, first)
        self._door.saw(lines)
        if not live.feed.take(Batch(run, first, lines)):
            self._later(self._ask_tail(live))
        elif live.feed.is_over:
            self._later(self._finish(live))

    def on_alive(self, held: Held, runs: dict[str, int]) -> None:
        """A kernel tells what goes on in it: what was missed is asked for."""
        for run, following in runs.items():
            live = self._runs.get(run)
            if live is not None and live.held is held and live.feed.next < following:
                self._later(self._ask_tail(live))

    def on_gone(self, held: Held) -> None:
        """A kernel has ended: what it wrote and did not send is read from its files, then the run is cut."""
        for live in list(self._runs.values()):
            if live.held is held and not live.feed.is_over:
                self._later(self._cut(live))

    def is_working(self, held: Held) -> bool:
        """Whether a run goes on in a session."""
        return any(live.held is held and not live.feed.is_over for live in self._runs.values())

    @property
    def working(self) -> int:
        """How many runs go on."""
        return sum(not live.feed.is_over for live in self._runs.values())

    async def _ask_tail(self, live: Live) -> None:
        if live.is_asking_tail:
            return
        live.is_asking_tail = True
        try:
            await live.held.link.ask("tail", run=live.feed.run, since=live.feed.next)
        except (ServiceError, TimeoutError) as fault:  # that its kernel has ended is told by `on_gone`
            logger.warning("events of run %s from %d on are missing: %s", live.feed.run, live.feed.next, fault)
        finally:
            live.is_asking_tail = False

    async def _cut(self, live: Live) -> None:
        history = History(
            live.feed.run, live.held.home / "runs" / live.feed.run, self._open_store().scoped(live.held.owner.account())
        )
        try:
            while (batch := await history.read(live.feed.next)).lines:
                live.feed.take(batch)
        finally:
            history.close()
            live.feed.cut()
        await self._finish(live)

    async def _finish(self, live: Live) -> None:
        """Forget a run that is over, once it is written and nobody is likely to ask."""
        await live.recorder.finished()
        await asyncio.sleep(KEPT_S)
        if live.feed.is_over and self._runs.get(live.feed.run) is live:
            del self._runs[live.feed.run]

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
