"""A session's rows in the store, written beside its turns and never in their way.

The manifest is what counts; the store is for looking things up. Where it is away the turns go on, a note says so, and
the first turn after it is back brings it up to date: missing turns by their number, missing events from the logs.
Everything here happens in order on the background loop, after SQLAlchemy was loaded on a thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.events import Note
from fleet_rlm.core.loop import submit
from fleet_rlm.core.run import Run
from fleet_rlm.sessions.state import State

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import EventWriter, Scope

WAIT_SECONDS = 3
"""How long closing a session waits for its rows: what is left is written in the background, or with a later turn."""

AT_ONCE = 500
"""Missing turns that are written in one transaction."""

_orders: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
"""By session: one that is opened again does not write beside what closing it has left."""


class Recording:
    """The rows of one session.

    Args:
        state: the session's state, read when something is written.
        home: where the store lies if no URL is configured, and where the logs of runs are.
        scope: the store as its user sees it; by default the configured one, as the local user.

    Attributes:
        fault: why the store is behind; None where it is not.
    """

    def __init__(self, state: State, home: Path, scope: Scope | None = None) -> None:
        self._state = state
        self._home = home
        self._scope = scope
        self._owns = scope is None
        self._order = _orders.setdefault(state.id, asyncio.Lock())
        self._writer: EventWriter | None = None
        self._waiting: set[Future[None]] = set()
        self._outdated: set[str] = set()
        self._memory: dict[str, str] = {}
        self.fault: FleetError | None = None

    def begun(self, run: Run) -> None:
        """A turn has begun: its events go to the store as they come."""
        self._later(self._begin(run), run)

    def ended(self, run: Run) -> None:
        """A turn has ended, perhaps one that went on: write it, and whatever is missing before it."""
        self._outdated.add(run.id)
        self._later(self._bring_up_to_date(), run)

    def renamed(self) -> None:
        """The session has another name."""
        self._later(self._rename(), None)

    def wait(self) -> bool:
        """Let go of the store once all is written, and block for that as long as is bearable.

        Returns:
            whether all is written.
        """
        self._later(self._finish(), None)
        return not concurrent.futures.wait(list(self._waiting), WAIT_SECONDS).not_done

    def _later(self, work: Coroutine[Any, Any, None], run: Run | None) -> None:
        future = submit(self._in_order(work, run))
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)

    async def _in_order(self, work: Coroutine[Any, Any, None], run: Run | None) -> None:
        async with self._order:
            try:
                await work
            except FleetError as error:
                if self.fault is None and run is not None and not run.log.is_closed:
                    text = f"the session's rows are not in the store and are written with a later turn: {error}"
                    run.log.emit(Note(level="warning", text=text))
                self.fault = error

    async def _finish(self) -> None:
        writer, self._writer = self._writer, None
        try:
            if self._scope is not None:
                await self._remember(self._scope)  # what the user has written since the last turn
            if writer is not None:
                await writer.aclose()
        finally:
            if self._owns and self._scope is not None:
                await self._scope.store.aclose()
                self._scope = None

    async def _opened(self) -> Scope:
        if self._scope is None:
            store = await asyncio.to_thread(importlib.import_module, "fleet_rlm.sessions.store")
            self._scope = store.open_store().scoped()
        return self._scope

    async def _begin(self, run: Run) -> None:
        scope = await self._opened()
        writer = importlib.import_module("fleet_rlm.sessions.store").EventWriter
        try:
            await self._row(scope)
        finally:
            self._writer = writer(scope, run.log, session_id=self._state.id)  # tries again by itself

    async def _bring_up_to_date(self) -> None:
        scope, identity = await self._opened(), self._state.id
        await self._row(scope)
        written = (await scope.turns.alist(identity, limit=1)).total
        turns = list(self._state.turns)
        while written < len(turns):
            rows = [
                {"message": turn.question, "answer": turn.answer, "run_id": turn.run, "status": turn.status}
                for turn in turns[written : written + AT_ONCE]
            ]
            written = await scope.turns.aextend(identity, rows)
            self._outdated -= {turn["run_id"] for turn in rows}
        for index, turn in enumerate(turns):
            if turn.run in self._outdated:
                await scope.turns.aanswer(identity, index, turn.answer, status=turn.status)
        self._outdated.clear()
        await self._remember(scope)
        if self.fault is not None:
            from fleet_rlm.sessions.store import acatch_up

            await acatch_up(scope, self._home)
            self.fault = None

    async def _remember(self, scope: Scope) -> None:
        """Write the sections of the core memory that have changed, each as the memory of its kind."""
        memory, clean = self._state.memory, self._state.redactor.renewed().text
        latest = {edit.section: edit for edit in memory.edits}
        changed = {
            kind: text
            for kind, text in memory.sections.items()
            if (text or kind in latest) and self._memory.get(kind) != text
        }
        if not changed:
            return
        known = {one.kind: one.id for one in (await scope.memory.alist(session=self._state.id)).items if one.session_id}
        for kind, text in changed.items():
            edit = latest.get(kind)
            about = {"who": edit.who, "run": edit.run, "at": edit.at} if edit else None
            await scope.memory.awrite(kind, clean(text), session=self._state.id, provenance=about, id=known.get(kind))
            self._memory[kind] = text

    async def _rename(self) -> None:
        scope = await self._opened()
        await self._row(scope)
        await scope.sessions.arename(self._state.id, self._state.name)

    async def _row(self, scope: Scope) -> None:
        """Make the session's row if there is none."""
        from fleet_rlm.sessions.store import NameTaken, NotFound

        try:
            await scope.sessions.aget(self._state.id)
        except NotFound:
            about = {"volume": self._state.volume}
            try:
                await scope.sessions.acreate(self._state.name, id=self._state.id, metadata=about)
            except NameTaken:  # by a session of another home
                await scope.sessions.acreate(
                    f"{self._state.name} ({self._state.id})", id=self._state.id, metadata=about
                )
