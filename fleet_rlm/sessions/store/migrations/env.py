"""How Alembic runs here: inside the caller's transaction, on our tables only."""

from __future__ import annotations

from typing import Any

from alembic import context

from fleet_rlm.sessions.store.schema import VERSION_TABLE
from fleet_rlm.sessions.store.tables import Base
from fleet_rlm.sessions.store.tables.base import PREFIX


def ours(item: Any, name: str | None, kind: str, *_: object) -> bool:
    """A schema may be shared: what belongs to others is never compared, let alone dropped."""
    return kind != "table" or (name or "").startswith(PREFIX)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    include_object=ours,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
