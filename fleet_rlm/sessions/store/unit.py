"""One transaction of one identity: the only way a verb reads or writes.

It stamps what is inserted and sees what is its own; records come out as plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Delete, Select, Table, Update, func, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from fleet_rlm.sessions.store import bulk
from fleet_rlm.sessions.store.errors import Unscoped
from fleet_rlm.sessions.store.identity import Identity
from fleet_rlm.sessions.store.page import Page, checked
from fleet_rlm.sessions.store.tables import Base, Owned

T = TypeVar("T")


class Unit:
    """What a verb may do in its transaction."""

    def __init__(self, session: AsyncSession, identity: Identity) -> None:
        self._session = session
        self.identity = identity

    async def all(self, query: Select[T]) -> list[T]:
        """Every match, in the query's order."""
        found = list((await self._session.scalars(query)).all())
        self._session.expunge_all()  # a record is a value: neither a rollback nor a change to it reaches anything
        return found

    async def rows(self, query: Select[*tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Every match of a query of columns."""
        return [tuple(row) for row in await self._session.execute(query)]

    async def first(self, query: Select[T]) -> T | None:
        """The first match."""
        return next(iter(await self.all(query.limit(1))), None)

    async def page(self, query: Select[T], limit: int, offset: int, order: Sequence[Any]) -> Page[T]:
        """A part of the matches, and how many there are."""
        checked(limit, offset)
        total = await self.first(select(func.count()).select_from(query.subquery()))
        items = await self.all(query.order_by(*order).limit(limit).offset(offset))
        return Page(items, total or 0, offset, limit)

    async def change(self, statement: Update | Delete) -> int:
        """Update or delete what matches of its own; returns how many rows that were."""
        result = await self._session.execute(statement, execution_options={"synchronize_session": False})
        assert isinstance(result, CursorResult)
        return result.rowcount

    async def insert(self, *records: Base, again: str | Sequence[str] = "fails") -> None:
        """Write new records, all of one table, stamped with this identity.

        Args:
            again: what becomes of a row whose key is taken: it "fails" (IntegrityError), it "stays" as it is, or the
                named columns are replaced.
        """
        if records:
            await self.insert_rows(type(records[0]), [self._row(record) for record in records], again)

    async def insert_rows(self, model: type[Base], rows: list[dict[str, Any]], again: str | Sequence[str]) -> None:
        """`insert` for rows that are stamped already, without the cost of records."""
        tenant = self.identity.tenant
        if any(row["tenant_id"] != tenant for row in rows):
            raise Unscoped(f"a row for {model.__tablename__} is not stamped with the tenant of its scope")
        statement, parameters = bulk.insert_or(_table(model), rows, again, tenant, postgres=self.is_postgres)
        await self._session.execute(statement, parameters)

    async def insert_or(self, record: Base, changes: Callable[[Any], dict[str, Any]], answer: Any) -> Any:
        """Insert, or change the row that has the key, in one statement that no other transaction can come between.

        Args:
            changes: from the row that was to be inserted to what becomes of the existing one.
            answer: the column to return.
        """
        table = _table(type(record))
        made = (postgresql if self.is_postgres else sqlite).insert(table)
        keys = [column.name for column in table.primary_key]
        made = made.on_conflict_do_update(index_elements=keys, set_=changes(made.excluded))
        return (await self._session.execute(made.returning(answer), [self._row(record)])).scalar()

    async def update_rows(self, model: type[Base], rows: list[dict[str, Any]]) -> None:
        """Change many rows, each found by its key; all name the same columns."""
        if rows:
            tenant = self.identity.tenant
            statement, parameters = bulk.update_each(_table(model), rows, tenant, postgres=self.is_postgres)
            await (await self._session.connection()).execute(statement, parameters)

    @property
    def is_postgres(self) -> bool:
        """Which of the two databases this is."""
        return self._session.get_bind().dialect.name == "postgresql"

    async def locked(self, key: str) -> None:
        """Let no other transaction with this key go on before this one ends; on SQLite writers are alone anyway."""
        if self.is_postgres:
            connection = await self._session.connection()
            await connection.exec_driver_sql(
                "select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self.identity.tenant}:{key}",)
            )

    def _row(self, record: Base) -> dict[str, Any]:
        record.tenant_id = self.identity.tenant  # type: ignore[attr-defined]
        if isinstance(record, Owned):
            record.user_id = self.identity.user
        return {column: getattr(record, name) for name, column in _columns(type(record))}


@cache
def _columns(model: type[Base]) -> list[tuple[str, str]]:
    mapper = inspect(model)
    return [(attribute.key, attribute.columns[0].name) for attribute in mapper.column_attrs]


def _table(model: type[Base]) -> Table:
    return model.__table__  # type: ignore[return-value]
