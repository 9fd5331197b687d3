"""SessionService: the sessions of one user at a time, as the store lists them and their manifests tell of them.

Only a kernel changes a session; what can be changed here is what the store alone knows: title, metadata, and whether
it is on the list. For every verb that names a session it is its id or its name.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from fleet_rlm.server.services.errands import Errands
from fleet_rlm.server.services.errors import Busy, Conflict, InUse, NotFound
from fleet_rlm.server.services.kernels.service import Held, Kernels
from fleet_rlm.server.services.manifests import state_of
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.page import Page
from fleet_rlm.server.services.sessions.models import (
    ModelStats,
    OpenSession,
    OpenSessions,
    PatchSession,
    Session,
    SessionDetail,
    SessionQuery,
    Stats,
    Turn,
)

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.sessions.store import Scope
    from fleet_rlm.sessions.store.tables import Run as RunRow
    from fleet_rlm.sessions.store.tables import Session as Row

MOST = 1_000

ScopeOf = Callable[["Identity"], Awaitable["Scope"]]
Forget = Callable[[Owner, str], Awaitable[None]]


class SessionService:
    """The sessions of everybody; each verb sees those of the identity it is given.

    Args:
        kernels: where sessions are open.
        scope: the store as a user sees it.
        errands: does what needs the agent's code.
        forget_runs: keeps nothing in memory of a session's runs.

    Raises (every verb that names a session):
        NotFound: there is no such session for this identity.
        StoreError: the store cannot be used now.
    """

    def __init__(self, kernels: Kernels, scope: ScopeOf, errands: Errands, forget_runs: Forget) -> None:
        self._forget_runs = forget_runs
        self._kernels = kernels
        self._scope = scope
        self._errands = errands

    async def list(self, identity: Identity, asked: SessionQuery) -> Page[Session]:
        """Sessions, the one last changed first."""
        scope = await self._scope(identity)
        given = asked.model_dump(exclude={"status"})
        page = await scope.sessions.alist(status=None if asked.status == "any" else asked.status, **given)
        items = [Session(**self._told(identity, row)) for row in page.items]
        return Page(items=items, total=page.total, offset=page.offset, limit=page.limit, has_more=page.has_more)

    async def get(self, identity: Identity, session: str) -> SessionDetail:
        """One session."""
        scope = await self._scope(identity)
        return await self._detail(identity, scope, await scope.sessions.aget(session))

    async def patch(self, identity: Identity, session: str, asked: PatchSession) -> SessionDetail:
        """Change the title, or merge into the metadata."""
        scope = await self._scope(identity)
        row = await scope.sessions.apatch(session, title=asked.title, metadata=asked.metadata)
        return await self._detail(identity, scope, row)

    async def archive(self, identity: Identity, session: str) -> SessionDetail:
        """Take it off the list and end its kernel; nothing is lost. Raises Busy: it is answering a question."""
        scope = await self._scope(identity)
        row = await scope.sessions.aget(session)
        held = self._idle(identity, row)
        if held is not None:
            await self._kernels.close_session(held)
        return await self._detail(identity, scope, await scope.sessions.aarchive(row.id))

    async def delete(self, identity: Identity, session: str) -> SessionDetail:
        """Leave nothing of it in the store and on the disk, and of a volume that it shares nothing of its runs.

        Returns:
            what it was.

        Raises:
            Busy: it is answering a question.
            InUse: it is open in a kernel that is not ours, or in another process.
        """
        scope = await self._scope(identity)
        row = await scope.sessions.aget(session)
        held, home = self._idle(identity, row), self._kernels.home_of(Owner.of(identity), row.id)
        if held is not None and not self._kernels.is_own(held):
            raise InUse(f"session {row.name!r} is open in kernel {held.link.kernel_id}; shut that kernel down first")
        detail = await self._detail(identity, scope, row)
        if held is not None:
            await self._kernels.close_session(held)
        await self._forget_runs(Owner.of(identity), row.id)  # what is written to its end cannot come back
        runs = [run.id for run in await _runs(scope, row)]
        await self._errands.run("delete", home, session=row.id, runs=runs)
        await scope.sessions.adelete(row.id)
        return detail.model_copy(update={"is_open": False})

    def _idle(self, identity: Identity, row: Row) -> Held | None:
        held = self._kernels.find(Owner.of(identity), row.id)
        if held is not None and self._kernels.listener.is_working(held):
            raise Busy(f"session {row.name!r} is answering a question; stop its run, or wait for it")
        return held

    async def restore(self, identity: Identity, session: str) -> SessionDetail:
        """Put an archived session back. Raises Conflict: it is not archived."""
        scope = await self._scope(identity)
        row = await scope.sessions.aget(session)
        if row.status == "active":
            raise Conflict(f"session {row.name!r} is on the list already")
        return await self._detail(identity, scope, await scope.sessions.arestore(row.id))

    async def turns(self, identity: Identity, session: str, limit: int, offset: int) -> Page[Turn]:
        """Questions and answers, oldest first."""
        page = await (await self._scope(identity)).turns.alist(session, limit=limit, offset=offset)
        plain = ("index", "message", "answer", "status", "created_at")
        items = [Turn(run=row.run_id, **{name: getattr(row, name) for name in plain}) for row in page.items]
        return Page(items=items, total=page.total, offset=page.offset, limit=page.limit, has_more=page.has_more)

    async def stats(self, identity: Identity, session: str) -> Stats:
        """What its runs used."""
        scope = await self._scope(identity)
        row = await scope.sessions.aget(session)
        return _stats(row.id, await _runs(scope, row))

    async def export(self, identity: Identity, session: str, format: Literal["zip", "parquet"]) -> tuple[BinaryIO, str]:
        """The session as it was saved last, as an open file that is gone once it is closed, and a name for it."""
        row = await (await self._scope(identity)).sessions.aget(session)
        home = self._kernels.home_of(Owner.of(identity), row.id)
        await state_of(home, row.id)  # says what is wrong with it, where something is
        scratch = home / "exports"
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = scratch / f"{secrets.token_hex(8)}.{format}"
        try:
            await self._errands.run("export", home, session=row.id, format=format, to=str(path))
            return path.open("rb"), f"{row.name}.{format}"
        finally:
            path.unlink(missing_ok=True)

    async def state(self, identity: Identity) -> OpenSessions:
        """The sessions that are open in kernels."""
        owner = Owner.of(identity)
        return OpenSessions(sessions=[await self._open(held) for held in self._kernels.all_of(owner)])

    async def _open(self, held: Held) -> OpenSession:
        try:
            saved: dict[str, Any] | None = await state_of(held.home, held.session)
        except NotFound:  # nothing of it was saved yet
            saved = None
        turns = saved["turns"] if saved is not None else {"segments": [], "tail": []}
        return OpenSession(
            id=held.session,
            name=held.name,
            kernel_id=held.link.kernel_id,
            own_kernel=self._kernels.is_own(held),
            is_answering=self._kernels.listener.is_working(held),
            turns=sum(segment["count"] for segment in turns["segments"]) + len(turns["tail"]),
            documents=len(saved["documents"]["documents"]) if saved is not None else 0,
            artifacts=len(saved["artifacts"]) if saved is not None else 0,
        )

    async def _detail(self, identity: Identity, scope: Scope, row: Row) -> SessionDetail:
        turns = await scope.turns.alist(row.id, limit=1)
        return SessionDetail(turn_count=turns.total, **self._told(identity, row))

    def _told(self, identity: Identity, row: Row) -> dict[str, Any]:
        plain = ("id", "name", "title", "status", "created_at", "updated_at")
        is_open = self._kernels.find(Owner.of(identity), row.id) is not None
        return {**{name: getattr(row, name) for name in plain}, "metadata": row.meta, "is_open": is_open}


async def _runs(scope: Scope, row: Row) -> list[RunRow]:
    """All runs of a session."""
    runs: list[RunRow] = []
    while True:
        page = await scope.runs.alist(session_id=row.id, limit=MOST, offset=len(runs))
        runs += page.items
        if not page.items or not page.has_more:
            return runs


def _stats(session: str, runs: list[RunRow]) -> Stats:
    by_model: defaultdict[str | None, list[RunRow]] = defaultdict(list)
    for run in runs:
        by_model[run.model].append(run)
    ended = [(run.ended_at - run.started_at).total_seconds() for run in runs if run.ended_at is not None]
    return Stats(
        session=session,
        runs=len(runs),
        by_status=Counter(run.status for run in runs),
        duration_s=sum(ended),
        by_model=[ModelStats(model=model, runs=len(its), **_used(its)) for model, its in by_model.items()],
        **_used(runs),
    )


def _used(runs: list[RunRow]) -> dict[str, Any]:
    names = ("llm_calls", "tokens_in", "tokens_out", "cost_usd")
    return {name: sum(getattr(run, name) or 0 for run in runs) for name in names}
