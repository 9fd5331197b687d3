"""Memory: what is remembered for a session, or for all sessions of its user."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, or_, select

from fleet_rlm.sessions.store.columns import now
from fleet_rlm.sessions.store.errors import NotFound
from fleet_rlm.sessions.store.page import LIMIT, Page
from fleet_rlm.sessions.store.tables import Memory
from fleet_rlm.sessions.store.unit import Unit
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, named, new_id, verb
from fleet_rlm.sessions.store.verbs.sessions import found


class Memories(Verbs):
    """One user's memory."""

    @verb
    async def awrite(
        self,
        kind: str,
        text: str,
        *,
        session: str | None = None,
        provenance: dict[str, Any] | None = None,
        id: str | None = None,
    ) -> Memory:
        """Remember something; with the id of an earlier memory, in its place.

        Args:
            session: the id or name of the session it is for; None is for all sessions.

        Raises:
            NotFound: there is no such session, or no such memory of this user.
        """
        async with self._write() as unit:
            owner = await found(unit, session) if session is not None else None
            if id is not None:
                await _found(unit, id)
            memory = Memory(
                id=id or new_id(),
                session_id=owner.id if owner else None,
                kind=named("kind of memory", kind),
                text=text,
                provenance=provenance or {},
                updated_at=now(),
            )
            await unit.insert(memory, again=("session_id", "kind", "text", "provenance", "updated_at"))
            return await _found(unit, memory.id)

    @verb
    async def aget(self, id: str) -> Memory:
        """One memory.

        Raises:
            NotFound: there is none.
        """
        async with self._read() as unit:
            return await _found(unit, id)

    @verb
    async def alist(
        self,
        *,
        session: str | None = None,
        kind: str | None = None,
        search: str | None = None,
        limit: int = LIMIT,
        offset: int = 0,
    ) -> Page[Memory]:
        """Memories, the one last written first: with a session, its own and those for all; else every one.

        Raises:
            NotFound: there is no such session.
        """
        async with self._read() as unit:
            query = select(Memory)
            if session is not None:
                owner = await found(unit, session)
                query = query.where(or_(Memory.session_id == owner.id, Memory.session_id.is_(None)))
            if kind is not None:
                query = query.where(Memory.kind == kind)
            if search:
                query = query.where(Memory.text.icontains(search, autoescape=True))
            return await unit.page(query, limit, offset, (Memory.updated_at.desc(), Memory.id))

    @verb
    async def adelete(self, id: str) -> None:
        """Forget it.

        Raises:
            NotFound: there is no such memory.
        """
        async with self._write() as unit:
            if not await unit.change(delete(Memory).where(Memory.id == id)):
                raise NotFound("memory", id)

    write = blocking(awrite)
    get = blocking(aget)
    list = blocking(alist)
    delete = blocking(adelete)


async def _found(unit: Unit, id: str) -> Memory:
    memory = await unit.first(select(Memory).where(Memory.id == id))
    if memory is None:
        raise NotFound("memory", id)
    return memory
