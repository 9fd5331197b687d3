"""A scope whose events tell when they were stored."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from fleet_rlm.core import events as ev
from fleet_rlm.sessions.store import Lease, Scope
from fleet_rlm.sessions.store.verbs.base import verb
from fleet_rlm.sessions.store.verbs.events import Events

PATIENCE_S = 20


class WatchedEvents(Events):
    """Counts batches, and lets a test wait for an event to be stored."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.batches: list[int] = []
        self._news = threading.Condition()
        self._last = -1

    @verb
    async def aappend(self, lease: Lease, events: Sequence[ev.Event], *, seconds: float = 60) -> None:
        await super().aappend(lease, events, seconds=seconds)
        with self._news:
            self.batches.append(len(events))
            self._last = events[-1].seq
            self._news.notify_all()

    def wait_for(self, seq: int) -> None:
        """Return when the event of this number is stored."""
        with self._news:
            assert self._news.wait_for(lambda: self._last >= seq, PATIENCE_S), f"event {seq} was not stored"


def watched(scope: Scope) -> tuple[Scope, WatchedEvents]:
    """The same scope, and its events."""
    again = Scope(scope.store, scope.identity)
    again.events = events = WatchedEvents(again)
    return again, events
