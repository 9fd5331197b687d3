"""The first wall between tenants: no statement reaches a tenant's table without that tenant's condition.

Two halves that trust each other in nothing. A scoped session adds `tenant_id = …` (and whose rows they are, where rows
have an owner) to every ORM select, update and delete, wherever a table occurs in it. The guard at the engine reads the
finished SQL of every statement, whoever wrote it and by whatever way it came, and refuses one in which a tenant's table
occurs without its condition, an insert that is not stamped, and a row that would change hands.

Postgres adds the second wall (`policies.py`). Neither protects against SQL that generated code writes: give it no
connection.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Any

from sqlalchemy import Engine, event, exists, select
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlalchemy.orm import Session as OrmSession

from fleet_rlm.sessions.store.errors import Unscoped
from fleet_rlm.sessions.store.identity import Identity
from fleet_rlm.sessions.store.tables import Base, Owned, Run, Session, Tenanted
from fleet_rlm.sessions.store.tables.base import OfRun, OfSession

SCOPE = "fleet_identity"
"""Execution option of a connection that a scoped session has opened, and the session's identity in its `info`."""


class ScopedSession(OrmSession):
    """A session that sees what belongs to the identity in its `info`."""


@event.listens_for(ScopedSession, "do_orm_execute")
def _add_conditions(state: ORMExecuteState) -> None:
    if not state.is_insert:
        state.statement = state.statement.options(*_conditions(state.session.info[SCOPE]))


@event.listens_for(ScopedSession, "before_flush")
def _refuse_flush(*_: object) -> None:
    raise Unscoped("records are values: write with a unit's insert and change, not by adding or altering them")


@lru_cache(maxsize=1_000)
def _conditions(identity: Identity) -> tuple[Any, ...]:
    tenant, user = identity.tenant, identity.user

    def of_run(part: Any) -> Any:
        return exists(select(Run.id).where(Run.tenant_id == tenant, Run.id == part.run_id, Run.user_id == user))

    def of_session(part: Any) -> Any:
        whole = select(Session.id).where(Session.tenant_id == tenant, Session.id == part.session_id)
        return exists(whole.where(Session.user_id == user))

    return (
        with_loader_criteria(Tenanted, lambda row: row.tenant_id == tenant, include_aliases=True),
        with_loader_criteria(Owned, lambda row: row.user_id == user, include_aliases=True),
        with_loader_criteria(OfRun, of_run, include_aliases=True),
        with_loader_criteria(OfSession, of_session, include_aliases=True),
    )


def guard(engine: Engine) -> None:
    """Refuse what is not scoped, at the last moment before it reaches the driver."""

    @event.listens_for(engine, "before_cursor_execute")
    def check(connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        judged = _judged(sql)
        if judged is None:
            return
        identity: Identity | None = connection.get_execution_options().get(SCOPE)
        if identity is None:
            raise Unscoped(f"{judged.table} is reached through a scope only: store.scoped(Identity(tenant, user))")
        if judged.fault is not None:
            raise Unscoped(f"{judged.fault}: {sql[:200]}")
        if judged.inserts:
            rows = context.compiled_parameters if context.compiled is not None else [{}]
            if any(row.get("tenant_id") != identity.tenant for row in rows):
                raise Unscoped(f"a row for {judged.table} is not stamped with the tenant of its scope")


class _Judged:
    """What the text of a statement tells: the tables of tenants in it, and whether each has its condition."""

    def __init__(self, table: str, fault: str | None, inserts: bool) -> None:
        self.table, self.fault, self.inserts = table, fault, inserts


_TABLES = "|".join(sorted(name for name, table in Base.metadata.tables.items() if "tenant_id" in table.c))
_MENTION = re.compile(rf"\b({_TABLES})\b(?!\"?\.)\"?(?:\s+AS\s+\"?(\w+))?", re.IGNORECASE)
_CONDITION = re.compile(r"\b(\w+)\"?\.tenant_id = (?:\?|%\()")
_HANDED_ON = re.compile(r"[\s,\"]tenant_id\"?=")


@lru_cache(maxsize=1_000)
def _judged(sql: str) -> _Judged | None:
    mentions = [(found[1].lower(), (found[2] or found[1]).lower()) for found in _MENTION.finditer(sql)]
    if not mentions:
        return None
    table = mentions[0][0]
    inserts = sql.lstrip()[:6].upper() == "INSERT"
    if _HANDED_ON.search(sql):
        return _Judged(table, "a row would be handed to another tenant", inserts)
    asked = Counter(alias for _, alias in mentions[inserts:])
    missing = asked - Counter(found[1].lower() for found in _CONDITION.finditer(sql))
    fault = f"{next(iter(missing))} lacks its tenant's condition" if missing else None
    return _Judged(table, fault, inserts)
