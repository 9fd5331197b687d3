"""Places for sandboxes: a session that works in a kernel holds one, because its sandbox stays there between turns.

A place is taken before a run begins, whether or not that run will start a sandbox, and is held until the kernel has
ended: nothing of a sandbox is left then, whoever ended it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from fleet_rlm.server.services.owner import Owner


class Place(Protocol):
    """Held until it is closed; closing it twice is harmless."""

    def close(self) -> None:
        """Give it back."""


Take = Callable[[Owner], Awaitable[Place]]


class Places:
    """The places of everybody, by kernel and session.

    Args:
        take: gives a place to an owner; raises where there is none.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._held: defaultdict[str, dict[str, Place]] = defaultdict(dict)

    def holds(self, kernel_id: str, session: str) -> bool:
        """Whether the session has its place."""
        return session in self._held.get(kernel_id, ())

    @asynccontextmanager
    async def taken(self, owner: Owner) -> AsyncGenerator[Place]:
        """A place, to be kept in the block; given back where the block fails."""
        place = await self._take(owner)
        try:
            yield place
        except BaseException:
            place.close()
            raise

    def keep(self, kernel_id: str, session: str, place: Place) -> None:
        """The session holds it from now on; of two places it holds one."""
        if self._held[kernel_id].setdefault(session, place) is not place:
            place.close()

    def give_back(self, kernel_id: str, session: str | None = None) -> None:
        """The session was closed there, or the kernel has ended, and all sandboxes in it."""
        held = self._held.pop(kernel_id, {})
        for one in [session] if session is not None else list(held):
            if (place := held.pop(one, None)) is not None:
                place.close()
        if held:
            self._held[kernel_id] = held

    def close(self) -> None:
        """Give everything back: nobody here knows any longer how long it lasts."""
        for kernel_id in list(self._held):
            self.give_back(kernel_id)
