"""Many rows in one statement: by the driver's own way on SQLite, as one JSON document on Postgres.

psycopg sends a statement per row, which costs more than what Postgres does with it, and escapes arrays sign by sign;
Postgres makes rows of one document much sooner (`tests/benchmarks/store.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import JSON, Table, Text, Update, bindparam, cast, column, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

Rows = Sequence[dict[str, Any]]

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def insert_or(table: Table, rows: Rows, again: str | Sequence[str], tenant: str, *, postgres: bool) -> tuple[Any, Any]:
    """An insert and its parameters; see `Unit.insert` for `again`."""
    made: Any
    if postgres:
        names = [name for name in rows[0] if name != "tenant_id"]
        new = _recordset(table, names)
        stamp = bindparam("tenant_id", type_=table.c.tenant_id.type)
        made = postgresql.insert(table).from_select(
            ["tenant_id", *names], select(stamp, *(new.c[name] for name in names))
        )
        parameters: Any = {"tenant_id": tenant, "rows": _document(table, names, rows)}
    else:
        made, parameters = sqlite.insert(table), list(rows)
    if again == "stays":
        made = made.on_conflict_do_nothing()
    elif again != "fails":
        keys = [column.name for column in table.primary_key]
        made = made.on_conflict_do_update(index_elements=keys, set_={name: made.excluded[name] for name in again})
    return made, parameters


def update_each(table: Table, rows: Rows, tenant: str, *, postgres: bool) -> tuple[Update, Any]:
    """An update of rows that are found by their keys, and its parameters."""
    names = list(rows[0])
    keys = [column.name for column in table.primary_key if column.name in names]
    changed = [name for name in names if name not in keys]
    mine = update(table).where(table.c.tenant_id == bindparam("tenant"))
    if postgres:
        new = _recordset(table, names)
        found = mine.where(*(table.c[key] == new.c[key] for key in keys))
        return found.values({name: new.c[name] for name in changed}), {
            "tenant": tenant,
            "rows": _document(table, names, rows),
        }
    found = mine.where(*(table.c[key] == bindparam(f"all_{key}") for key in keys))
    each = [{"tenant": tenant, **{f"all_{name}": value for name, value in row.items()}} for row in rows]
    return found.values({name: bindparam(f"all_{name}") for name in changed}), each


def _recordset(table: Table, names: Sequence[str]) -> Any:
    """The rows of the parameter "rows", each column of its type in the table."""
    columns = [column(name, _plain(table.c[name].type)) for name in names]
    document = cast(bindparam("rows", type_=Text), JSON)
    return (
        func.json_to_recordset(document).table_valued(*columns, name="new").render_derived(name="new", with_types=True)
    )


def _plain(type_: Any) -> Any:
    """What a type is on Postgres; the conversions of ours happen in `_document`."""
    return type_.load_dialect_impl(_DIALECT) if isinstance(type_, TypeDecorator) else type_


def _document(table: Table, names: Sequence[str], rows: Rows) -> str:
    kinds = {name: table.c[name].type for name in names}
    ours = {name: kind for name, kind in kinds.items() if isinstance(kind, TypeDecorator)}
    plain = [
        {name: ours[name].process_bind_param(row[name], _DIALECT) if name in ours else row[name] for name in names}
        for row in rows
    ]
    return msgspec.json.encode(plain).decode()
