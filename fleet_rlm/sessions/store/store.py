"""The store: one database, opened on first use, and the scopes through which everything is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from fleet_rlm.core.settings import Settings
from fleet_rlm.sessions.store import schema, walls
from fleet_rlm.sessions.store.engine import WRITES, Place, place_of
from fleet_rlm.sessions.store.errors import translated
from fleet_rlm.sessions.store.identity import LOCAL, Identity
from fleet_rlm.sessions.store.role import check_role
from fleet_rlm.sessions.store.unit import Unit
from fleet_rlm.sessions.store.verbs.audit import AuditTrail
from fleet_rlm.sessions.store.verbs.base import blocking, verb
from fleet_rlm.sessions.store.verbs.events import Events
from fleet_rlm.sessions.store.verbs.house import SettingsOf, Tenants, Users
from fleet_rlm.sessions.store.verbs.learning import Datasets, Feedbacks
from fleet_rlm.sessions.store.verbs.memory import Memories
from fleet_rlm.sessions.store.verbs.quotas import Quotas
from fleet_rlm.sessions.store.verbs.runs import Runs
from fleet_rlm.sessions.store.verbs.sessions import Sessions
from fleet_rlm.sessions.store.verbs.spans import Artifacts, Spans
from fleet_rlm.sessions.store.verbs.turns import Turns


def open_store(url: str | None = None, settings: Settings | None = None) -> Store:
    """The store of a URL; by default of DATABASE_URL, else the SQLite file `FLEET_HOME/fleet.db`.

    Nothing is opened before the first verb, so this neither fails nor waits for a database.

    Raises:
        UserError: the URL is not one of SQLite or Postgres.
    """
    settings = settings or Settings.from_environ()
    return Store(place_of(url or settings.database_url, settings.home))


class Store:
    """One database. Use it through `scoped`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()
        self._writing = asyncio.Lock()

    def scoped(self, identity: Identity = LOCAL) -> Scope:
        """What one user of one tenant sees and may do."""
        return Scope(self, identity)

    @verb
    async def aopen(self) -> None:
        """Be ready now instead of at the first verb; doing it twice is harmless.

        Raises:
            StoreUnavailable, StoreDamaged, StoreTooNew, StoreOutdated, UnsafeRole: it cannot be used, and why.
        """
        await self._opened()

    @verb
    async def aclose(self) -> None:
        """Close every connection; a later verb opens new ones."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    open = blocking(aopen)
    close = blocking(aclose)

    async def _opened(self) -> AsyncEngine:
        async with self._opening:
            if self._engine is None:
                self._engine = await self._open()
            return self._engine

    async def _open(self) -> AsyncEngine:
        if self.place.file is not None:
            await asyncio.to_thread(schema.prepare_file, self.place)
        engine = self.place.async_engine()
        if self.place.file is None:
            try:
                with translated(str(self.place)):
                    async with engine.connect() as connection:
                        await check_role(connection)
                        await schema.check_server(connection, self.place)
            except BaseException:
                await engine.dispose()
                raise
        walls.guard(engine.sync_engine)
        return engine

    @asynccontextmanager
    async def unit(self, identity: Identity, *, writes: bool) -> AsyncIterator[Unit]:
        """One transaction of `identity`; committed if the block ends well."""
        engine = await self._opened()
        is_file = self.place.file is not None
        options = {walls.SCOPE: identity, WRITES: writes}
        with translated(str(self.place)):
            # SQLite has one writer; waiting for it here costs nothing, while its own waiting sleeps.
            async with self._writing if is_file and writes else contextlib.nullcontext():
                async with (
                    AsyncSession(
                        engine,
                        sync_session_class=walls.ScopedSession,
                        expire_on_commit=False,
                        info={walls.SCOPE: identity},
                    ) as session,
                    session.begin(),
                ):
                    connection = await session.connection(execution_options=options)
                    if not is_file:
                        # Local to this transaction: a setting of the session would leak through a pooler.
                        await connection.exec_driver_sql(
                            "select set_config('app.tenant_id', %s, true)", (identity.tenant,)
                        )
                    yield Unit(session, identity)


class Scope:
    """The store as one user of one tenant sees it."""

    def __init__(self, store: Store, identity: Identity) -> None:
        self.store = store
        self.identity = identity
        self.sessions = Sessions(self)
        self.turns = Turns(self)
        self.runs = Runs(self)
        self.events = Events(self)
        self.spans = Spans(self)
        self.artifacts = Artifacts(self)
        self.memory = Memories(self)
        self.feedback = Feedbacks(self)
        self.datasets = Datasets(self)
        self.settings = SettingsOf(self)
        self.audit = AuditTrail(self)
        self.quotas = Quotas(self)
        self.tenants = Tenants(self)
        self.users = Users(self)

    @asynccontextmanager
    async def unit(self, *, writes: bool) -> AsyncIterator[Unit]:
        """One transaction; committed if the block ends well. Await it on the background loop only."""
        async with self.store.unit(self.identity, writes=writes) as unit:
            yield unit
