"""Turns: appended in order, read in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, update

from fleet_rlm.sessions.store.columns import now
from fleet_rlm.sessions.store.errors import NotFound
from fleet_rlm.sessions.store.page import MOST, Page
from fleet_rlm.sessions.store.tables import Session, Turn
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, verb
from fleet_rlm.sessions.store.verbs.sessions import found


class Turns(Verbs):
    """The turns of one user's sessions; `session` is an id or a name."""

    @verb
    async def aappend(
        self,
        session: str,
        message: str,
        *,
        answer: str | None = None,
        run_id: str | None = None,
        status: str = "ok",
        metadata: dict[str, Any] | None = None,
    ) -> Turn:
        """The next turn; its `index` follows the last one's, whoever else appends meanwhile.

        Raises:
            NotFound: there is no such session.
        """
        async with self._write() as unit:
            owner = await found(unit, session, locked=True)
            last = await unit.first(select(func.max(Turn.index)).where(Turn.session_id == owner.id))
            turn = Turn(
                session_id=owner.id,
                index=0 if last is None else last + 1,
                run_id=run_id,
                message=message,
                answer=answer,
                status=status,
                meta=metadata or {},
            )
            await unit.insert(turn)
            await unit.change(update(Session).where(Session.id == owner.id).values(updated_at=turn.created_at))
        return turn

    @verb
    async def aextend(self, session: str, turns: Sequence[Mapping[str, Any]]) -> int:
        """Append several turns that are over, all or none; `message`, `answer`, `run_id` and `status` of each. Returns
        how many the session has then.

        Raises:
            NotFound: there is no such session.
        """
        async with self._write() as unit:
            owner = await found(unit, session, locked=True)
            last = await unit.first(select(func.max(Turn.index)).where(Turn.session_id == owner.id))
            first = 0 if last is None else last + 1
            for index, turn in enumerate(turns, first):
                await unit.insert(Turn(session_id=owner.id, index=index, meta={}, **turn))
            await unit.change(update(Session).where(Session.id == owner.id).values(updated_at=now()))
        return first + len(turns)

    @verb
    async def aanswer(self, session: str, index: int, answer: str | None, *, status: str = "ok") -> None:
        """Complete a turn that was appended when its run began.

        Raises:
            NotFound: there is no such session or turn.
        """
        async with self._write() as unit:
            owner = await found(unit, session)
            changed = await unit.change(
                update(Turn)
                .where(Turn.session_id == owner.id, Turn.index == index)
                .values(answer=answer, status=status)
            )
            if not changed:
                raise NotFound("turn", f"{owner.name}/{index}")
            await unit.change(update(Session).where(Session.id == owner.id).values(updated_at=now()))

    @verb
    async def alist(self, session: str, *, limit: int = MOST, offset: int = 0) -> Page[Turn]:
        """The turns from the first on.

        Raises:
            NotFound: there is no such session.
        """
        async with self._read() as unit:
            owner = await found(unit, session)
            query = select(Turn).where(Turn.session_id == owner.id)
            return await unit.page(query, limit, offset, (Turn.index,))

    append = blocking(aappend)
    extend = blocking(aextend)
    answer = blocking(aanswer)
    list = blocking(alist)
