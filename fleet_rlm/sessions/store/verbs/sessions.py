"""Sessions: find, list, rename, archive and delete them."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.exc import IntegrityError

from fleet_rlm.sessions.store.columns import now
from fleet_rlm.sessions.store.errors import NameTaken, NotFound
from fleet_rlm.sessions.store.page import LIMIT, Page
from fleet_rlm.sessions.store.tables import Session
from fleet_rlm.sessions.store.unit import Unit
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, named, new_id, verb

Status = Literal["active", "archived"]


class Sessions(Verbs):
    """The sessions of one user. Where a verb takes a `key`, it is the session's id or its name."""

    @verb
    async def acreate(
        self, name: str, *, title: str | None = None, metadata: dict[str, Any] | None = None, id: str | None = None
    ) -> Session:
        """A new, active session.

        Raises:
            NameTaken: the user has one of this name, or the id is in use.
        """
        session = Session(id=id or new_id(), name=named("session", name), title=title, meta=metadata or {})
        async with self._write() as unit:
            try:
                await unit.insert(session)
            except IntegrityError as error:
                raise _taken(name) from error
        return session

    @verb
    async def aget(self, key: str) -> Session:
        """The session of an id or a name.

        Raises:
            NotFound: there is none.
        """
        async with self._read() as unit:
            return await found(unit, key)

    @verb
    async def alist(
        self,
        *,
        search: str | None = None,
        status: Status | None = "active",
        created_after: datetime.datetime | None = None,
        created_before: datetime.datetime | None = None,
        limit: int = LIMIT,
        offset: int = 0,
    ) -> Page[Session]:
        """Sessions, the one last changed first.

        Args:
            search: a part of the name or the title, upper and lower case alike.
            status: None lists archived ones too.
            created_after, created_before: aware times; the first is included, the second not.
        """
        query = select(Session)
        if search:
            query = query.where(
                or_(Session.name.icontains(search, autoescape=True), Session.title.icontains(search, autoescape=True))
            )
        if status is not None:
            query = query.where(Session.status == status)
        if created_after is not None:
            query = query.where(Session.created_at >= created_after)
        if created_before is not None:
            query = query.where(Session.created_at < created_before)
        async with self._read() as unit:
            return await unit.page(query, limit, offset, (Session.updated_at.desc(), Session.id))

    @verb
    async def arename(self, key: str, name: str) -> Session:
        """Give it another name.

        Raises:
            NotFound, NameTaken: there is no such session, or another has the name.
        """
        try:
            return await self._changed(key, name=named("session", name))
        except IntegrityError as error:
            raise _taken(name) from error

    @verb
    async def apatch(self, key: str, *, title: str | None = None, metadata: dict[str, Any] | None = None) -> Session:
        """Change the title, or merge into the metadata, where a key with None is removed.

        Raises:
            NotFound: there is no such session.
        """
        changes: dict[str, Any] = {} if title is None else {"title": title}
        return await self._changed(key, metadata, **changes)

    @verb
    async def aarchive(self, key: str) -> Session:
        """Take it off the list; nothing is lost."""
        return await self._changed(key, status="archived")

    @verb
    async def arestore(self, key: str) -> Session:
        """Put an archived session back."""
        return await self._changed(key, status="active")

    @verb
    async def adelete(self, key: str) -> None:
        """Delete it with its turns, runs, events, artifacts' rows and memory, for good.

        Raises:
            NotFound: there is no such session.
        """
        async with self._write() as unit:
            session = await found(unit, key)
            await unit.change(delete(Session).where(Session.id == session.id))

    create = blocking(acreate)
    get = blocking(aget)
    list = blocking(alist)
    rename = blocking(arename)
    patch = blocking(apatch)
    archive = blocking(aarchive)
    restore = blocking(arestore)
    delete = blocking(adelete)

    async def _changed(self, key: str, metadata: dict[str, Any] | None = None, **changes: Any) -> Session:
        async with self._write() as unit:
            session = await found(unit, key, locked=True)
            if metadata is not None:
                merged = {**session.meta, **metadata}
                changes["meta"] = {name: value for name, value in merged.items() if value is not None}
            await unit.change(update(Session).where(Session.id == session.id).values(**changes, updated_at=now()))
            return await found(unit, session.id)


async def found(unit: Unit, key: str, locked: bool = False) -> Session:
    """The session of an id or a name, in a transaction that is under way; an id wins over a name.

    Raises:
        NotFound: there is none.
    """
    query: Select[Session] = (
        select(Session).where(or_(Session.id == key, Session.name == key)).order_by((Session.id == key).desc())
    )
    session = await unit.first(query.with_for_update() if locked else query)
    if session is None:
        raise NotFound("session", key)
    return session


def _taken(name: str) -> NameTaken:
    return NameTaken(f"there is a session {name!r} already; take another name, or rename or delete that one")
