"""What all tables share: names of constraints, the tenant in every key, and whose rows they are.

Keys, foreign keys and uniques begin with `tenant_id`: Postgres checks them without row-level security, so a key of
one column would tell one tenant what another has.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import ForeignKeyConstraint, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from fleet_rlm.sessions.store.columns import Id

PREFIX = "fleet_"
"""Of every table, so that the store can share a schema with others."""

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """A table, and a row of it.

    Attributes:
        GRANTS: what the role of a running server may do with the table on Postgres.
    """

    metadata = MetaData(naming_convention=NAMES)
    GRANTS: ClassVar[str] = "select, insert, update, delete"


class Tenanted(MappedAsDataclass, kw_only=True):
    """Rows of one tenant; the scope stamps and filters `tenant_id`."""

    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True, sort_order=-2, default="")


class Owned(MappedAsDataclass, kw_only=True):
    """Rows of one user of the tenant; the scope stamps and filters `user_id` too."""

    user_id: Mapped[str] = mapped_column(Id, sort_order=-1, default="")


class OfRun(MappedAsDataclass, kw_only=True):
    """Parts of a run: seen by whoever sees the run, and gone with it."""

    run_id: Mapped[str] = mapped_column(Id, primary_key=True, sort_order=-1)


class OfSession(MappedAsDataclass, kw_only=True):
    """Parts of a session: seen by whoever sees the session, and gone with it."""

    session_id: Mapped[str] = mapped_column(Id, primary_key=True, sort_order=-1)


def part_of(table: str, column: str, **options: Any) -> ForeignKeyConstraint:
    """Belongs to a row of another table of the same tenant, and is deleted with it."""
    whole = f"{PREFIX}{table}"
    return ForeignKeyConstraint(
        ("tenant_id", column), (f"{whole}.tenant_id", f"{whole}.id"), ondelete="CASCADE", **options
    )
