"""Two tenants with the same ids in every table: neither reaches the other's rows, whatever way it is tried.

The matrix is made from the metadata, so a table that is added later is in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import BigInteger, Boolean, Double, Integer, Table, delete, func, insert, select, text, update

from fleet_rlm.core.loop import run_sync
from fleet_rlm.sessions.store import Identity, Scope, Store, Unscoped, open_store
from fleet_rlm.sessions.store.columns import Document, Moment, now
from fleet_rlm.sessions.store.tables import Base, Run, Session, Turn
from fleet_rlm.sessions.store.tables.base import OfRun, OfSession, Owned, Tenanted
from fleet_rlm.sessions.store.unit import Unit
from tests.sessions.store.conftest import ADA, BOB, CARL
from tests.twins.postgres import Postgres

MODELS: dict[str, Any] = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
NAMES = [table.name for table in Base.metadata.sorted_tables]


class RolledBack(Exception):
    """Ends a transaction without keeping what it did."""


def row(table: Table, identity: Identity) -> dict[str, Any]:
    """A row of this tenant; its ids are those of every other tenant's row."""
    values: dict[str, Any] = {"tenant_id": identity.tenant, "user_id": identity.user}
    for column in table.columns:
        if isinstance(column.type, Moment):
            value: Any = now()
        elif isinstance(column.type, Document):
            value = {"of": identity.tenant}
        elif isinstance(column.type, Boolean):
            value = False
        elif isinstance(column.type, (Integer, BigInteger, Double)):
            value = 1
        else:
            value = "same"
        values.setdefault(column.name, value)
    return {name: value for name, value in values.items() if name in table.c}


async def fill(scope: Scope) -> None:
    async with scope.unit(writes=True) as unit:
        for table in Base.metadata.sorted_tables:
            await unit.insert_rows(MODELS[table.name], [row(table, scope.identity)], "fails")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store in which two tenants have one row in every table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('walls')}/fleet.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.fresh().app
    store = open_store(url)
    run_sync(fill(store.scoped(ADA)))
    run_sync(fill(store.scoped(BOB)))
    yield store
    store.close()


def in_transaction(scope: Scope, work: Any) -> Any:
    """What `work(unit)` gives in a transaction that is rolled back."""
    kept: list[Any] = []

    async def run() -> None:
        with contextlib.suppress(RolledBack):
            async with scope.unit(writes=True) as unit:
                kept.append(await work(unit))
                raise RolledBack

    run_sync(run())
    return kept[0]


def everything(model: Any) -> Any:
    async def ask(unit: Unit) -> Any:
        return await unit.all(select(model))

    return ask


def test_every_table_is_a_tenants() -> None:
    assert set(NAMES) == set(MODELS)
    for model in MODELS.values():
        assert issubclass(model, Tenanted), model
        assert next(iter(model.__table__.primary_key)).name == "tenant_id"


def test_no_key_or_unique_or_foreign_key_leaves_the_tenant_out() -> None:
    for table in Base.metadata.sorted_tables:
        for constraint in table.constraints:
            columns = [column.name for column in getattr(constraint, "columns", [])]
            assert "tenant_id" in columns, f"{table.name}: {constraint}"


@pytest.mark.parametrize("name", NAMES)
def test_a_tenant_sees_its_own_row_only(filled: Store, name: str) -> None:
    for identity in (ADA, BOB):
        rows = in_transaction(filled.scoped(identity), everything(MODELS[name]))
        assert [found.tenant_id for found in rows] == [identity.tenant]


@pytest.mark.parametrize("name", NAMES)
def test_a_tenant_counts_its_own_row_only(filled: Store, name: str) -> None:
    model = MODELS[name]

    async def count(unit: Unit) -> Any:
        inner = await unit.first(select(func.count()).select_from(select(model).subquery()))
        return inner, await unit.first(select(func.count(model.tenant_id)))

    assert in_transaction(filled.scoped(BOB), count) == (1, 1)


@pytest.mark.parametrize("name", [name for name in NAMES if "update" in MODELS[name].GRANTS])
def test_a_tenant_changes_and_deletes_its_own_row_only(filled: Store, name: str) -> None:
    model = MODELS[name]
    column = next(column for column in model.__table__.columns if not column.primary_key and not column.foreign_keys)
    value = row(model.__table__, ADA)[column.name]

    async def change(unit: Unit) -> tuple[int, int]:
        return await unit.change(update(model).values({column: value})), await unit.change(delete(model))

    assert in_transaction(filled.scoped(ADA), change) == (1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_cannot_be_written_for_another_tenant(filled: Store, name: str) -> None:
    strangers = row(MODELS[name].__table__, Identity("third", "eve"))

    async def smuggle(unit: Unit) -> None:
        await unit.insert_rows(MODELS[name], [strangers], "stays")

    with pytest.raises(Unscoped, match="not stamped"):
        in_transaction(filled.scoped(ADA), smuggle)


@pytest.mark.parametrize("name", NAMES)
def test_what_belongs_to_a_user_is_hidden_from_a_colleague(filled: Store, name: str) -> None:
    private = issubclass(MODELS[name], (Owned, OfRun, OfSession))
    rows = in_transaction(filled.scoped(CARL), everything(MODELS[name]))
    assert len(rows) == (0 if private else 1)


STATEMENTS = {
    "a plain table": select(Session.__table__),
    "a plain table joined to a class": select(Run).join(Turn.__table__, Turn.__table__.c.run_id == Run.id),
    "a plain table in a sub-select": select(Run).where(Run.id.in_(select(Turn.__table__.c.run_id))),
    "SQL as text": text("select * from fleet_sessions"),
    "SQL as text in capitals": text('SELECT * FROM "FLEET_SESSIONS"'),
    "SQL as text with an alias": text("select s.id from fleet_sessions as s where s.tenant_id = s.tenant_id"),
    "a plain update": update(Session.__table__).values(status="archived"),
    "a plain delete": delete(Turn.__table__),
    "an update of the tenant": update(Session).values(tenant_id="other"),
    "an insert without values": insert(Turn.__table__),
    "an insert from a select": insert(Turn.__table__).from_select(
        list(Turn.__table__.c.keys()), select(Turn.__table__)
    ),
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
@pytest.mark.filterwarnings("ignore:Column 'fleet_turns:sqlalchemy.exc.SAWarning")
def test_a_statement_without_the_tenants_condition_is_refused(filled: Store, statement: Any) -> None:
    async def sneak(unit: Unit) -> None:
        await unit._session.execute(statement)

    with pytest.raises(Unscoped):
        in_transaction(filled.scoped(ADA), sneak)


def test_a_connection_past_every_scope_is_refused(filled: Store) -> None:
    async def sneak() -> None:
        async with (await filled._opened()).connect() as connection:
            await connection.exec_driver_sql("select count(*) from fleet_sessions")

    with pytest.raises(Unscoped, match="through a scope"):
        run_sync(sneak())


def test_a_record_that_is_changed_changes_nothing_and_cannot_be_flushed(filled: Store) -> None:
    async def alter(unit: Unit) -> None:
        record = (await unit.all(select(Session)))[0]
        record.tenant_id = "other"
        await unit._session.flush()  # it left the session when it was read
        unit._session.add(record)
        await unit._session.flush()

    with pytest.raises(Unscoped, match="records are values"):
        in_transaction(filled.scoped(ADA), alter)


@pytest.fixture(scope="module")
def as_app(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """Plain SQL as the runtime role, in a database in which two tenants have a row in every table."""
    database = postgres.fresh()
    store = open_store(database.app)
    run_sync(fill(store.scoped(ADA)))
    run_sync(fill(store.scoped(BOB)))
    store.close()
    with psycopg.connect(database.app) as connection:
        yield connection


@contextlib.contextmanager
def as_tenant(connection: psycopg.Connection, tenant: str | None) -> Iterator[psycopg.Connection]:
    with connection.transaction(force_rollback=True):
        if tenant is not None:
            connection.execute("select set_config('app.tenant_id', %s, true)", (tenant,))
        yield connection


@pytest.mark.parametrize("name", NAMES)
def test_postgres_shows_plain_sql_the_rows_of_its_tenant_only(as_app: psycopg.Connection, name: str) -> None:
    with as_tenant(as_app, "acme") as connection:
        assert connection.execute(f"select tenant_id from {name}").fetchall() == [("acme",)]
    with as_tenant(as_app, None) as connection:  # after the setting was used, when it is '' and not NULL
        assert connection.execute(f"select tenant_id from {name}").fetchall() == []


@pytest.mark.parametrize("name", NAMES)
def test_postgres_lets_plain_sql_write_no_row_of_another_tenant(as_app: psycopg.Connection, name: str) -> None:
    columns = ", ".join(f'"{column.name}"' for column in MODELS[name].__table__.columns if column.name != "tenant_id")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_tenant(as_app, "acme") as connection:
        connection.execute(f"insert into {name} (tenant_id, {columns}) select 'third', {columns} from {name}")
    if "update" in MODELS[name].GRANTS:
        with as_tenant(as_app, "acme") as connection:
            assert connection.execute(f"update {name} set tenant_id = tenant_id").rowcount == 1
            assert connection.execute(f"delete from {name} where tenant_id = 'other'").rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_tenant(as_app, "acme") as connection:
            connection.execute(f"update {name} set tenant_id = 'other2'")
    else:
        for statement in (f"update {name} set tenant_id = tenant_id", f"delete from {name}", f"truncate {name}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), as_tenant(as_app, "acme") as connection:
                connection.execute(statement)  # type: ignore[call-overload]


def test_a_foreign_key_cannot_name_another_tenants_row(as_app: psycopg.Connection) -> None:
    with as_tenant(as_app, "third") as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("insert into fleet_events values ('third', 'same', 5, 1, 'x', null, '')")
