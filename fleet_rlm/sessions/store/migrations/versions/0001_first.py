"""The first schema. Forward only: a database of a later schema is refused, not converted back."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from fleet_rlm.sessions.store.columns import Document, Moment, Words

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    _house()
    _conversation()
    _record()
    _learning()
    _seal_audit()


def _house() -> None:
    _table(
        "tenants",
        "tenant_id",
        *_words("name", null=True),
        *_ids("status"),
        *_moments("created_at"),
    )
    _table(
        "users",
        "tenant_id id",
        *_words("name", null=True),
        *_ids("role status"),
        *_moments("created_at seen_at"),
    )
    _table(
        "settings",
        "tenant_id user_id",
        sa.Column("key", sa.String(200), primary_key=True),
        *_documents("value", null=True),
        *_moments("updated_at"),
    )
    _table(
        "quotas",
        "tenant_id",
        sa.Column("metric", sa.String(200), primary_key=True),
        sa.Column("period", sa.String(64), primary_key=True),
        *_numbers("limit", null=True),
        *_numbers("used"),
    )
    _table(
        "audit",
        "tenant_id",
        sa.Column("seq", sa.BigInteger, primary_key=True),
        *_moments("at"),
        *_ids("actor outcome hash"),
        sa.Column("action", sa.String(200), nullable=False),
        *_words("object", null=True),
        *_documents("detail"),
    )


def _conversation() -> None:
    _table(
        "sessions",
        "tenant_id id",
        *_ids("user_id status"),
        sa.Column("name", sa.String(200), nullable=False),
        *_words("title", null=True),
        *_documents("metadata"),
        *_documents("manifest", null=True),
        sa.Column("revision", sa.Integer, nullable=False),
        *_moments("created_at updated_at"),
        sa.UniqueConstraint("tenant_id", "user_id", "name", name="uq_fleet_sessions_tenant_id_user_id_name"),
    )
    _index("sessions", "tenant_id user_id status updated_at")
    _table(
        "turns",
        "tenant_id session_id",
        sa.Column("index", sa.Integer, primary_key=True),
        *_ids("run_id", null=True),
        *_words("message"),
        *_words("answer", null=True),
        *_ids("status"),
        *_documents("metadata"),
        *_moments("created_at"),
        _part_of("turns", "sessions", "session_id"),
    )
    _table(
        "memory",
        "tenant_id id",
        *_ids("user_id kind"),
        *_ids("session_id", null=True),
        *_words("text"),
        *_documents("provenance"),
        *_moments("created_at updated_at"),
        _part_of("memory", "sessions", "session_id"),
    )
    _index("memory", "tenant_id user_id session_id kind")


def _record() -> None:
    _table(
        "runs",
        "tenant_id id",
        *_ids("user_id status"),
        *_ids("session_id parent_run mode", null=True),
        *_words("task"),
        *_words("model sub_model error_type error", null=True),
        sa.Column("offline", sa.Boolean, nullable=False),
        *_documents("answer", null=True),
        *_numbers("llm_calls last_seq lease_fence"),
        *_numbers("tokens_in tokens_out tokens_cached", null=True),
        sa.Column("cost_usd", sa.Double),
        *_moments("started_at"),
        *_moments("ended_at lease_until", null=True),
        sa.Column("lease_owner", sa.String(200)),
        _part_of("runs", "sessions", "session_id"),
    )
    _index("runs", "tenant_id user_id started_at")
    _index("runs", "tenant_id session_id started_at")
    _index("runs", "tenant_id parent_run")
    _table(
        "events",
        "tenant_id run_id",
        sa.Column("seq", sa.BigInteger, primary_key=True),
        *_numbers("ts"),
        *_ids("kind"),
        *_ids("span", null=True),
        sa.Column("payload", sa.Text, nullable=False),
        _part_of("events", "runs", "run_id"),
    )
    _table(
        "spans",
        "tenant_id run_id id",
        *_ids("type status"),
        *_ids("parent", null=True),
        *_numbers("seq"),
        sa.Column("depth", sa.Integer, nullable=False),
        *_words("name"),
        *_moments("started_at"),
        *_moments("ended_at", null=True),
        *_words("model input output code error_type error", null=True),
        *_numbers("llm_calls tokens_in tokens_out tokens_cached", null=True),
        sa.Column("cost_usd", sa.Double),
        *_documents("attrs"),
        _part_of("spans", "runs", "run_id"),
    )
    _table(
        "artifacts",
        "tenant_id run_id id",
        *_words("name mime path"),
        *_numbers("bytes"),
        *_ids("sha256"),
        *_documents("provenance"),
        *_moments("created_at"),
        _part_of("artifacts", "runs", "run_id"),
    )


def _learning() -> None:
    _table(
        "feedback",
        "tenant_id id",
        *_ids("user_id run_id"),
        *_ids("span", null=True),
        sa.Column("name", sa.String(200), nullable=False),
        *_documents("value expected", null=True),
        *_words("comment", null=True),
        *_moments("created_at"),
        _part_of("feedback", "runs", "run_id"),
    )
    _index("feedback", "tenant_id run_id")
    _table(
        "datasets",
        "tenant_id id",
        sa.Column("name", sa.String(200), nullable=False),
        *_words("description", null=True),
        *_ids("created_by"),
        *_documents("metadata"),
        *_moments("created_at"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_fleet_datasets_tenant_id_name"),
    )
    _table(
        "examples",
        "tenant_id dataset_id",
        sa.Column("index", sa.Integer, primary_key=True),
        *_documents("input expected", null=True),
        *_documents("metadata"),
        _part_of("examples", "datasets", "dataset_id"),
    )


def _seal_audit() -> None:
    """SQLite knows no grants; there the file refuses to change or delete an entry of the audit."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(
                f"create trigger fleet_audit_no_{verb} before {verb} on fleet_audit "
                "begin select raise(abort, 'the audit is only added to'); end"
            )


def _table(name: str, keys: str, *rest: sa.Column | sa.Constraint) -> None:  # type: ignore[type-arg]
    ids = [sa.Column(key, sa.String(64), primary_key=True) for key in keys.split()]
    more = [column.name for column in rest if isinstance(column, sa.Column) and column.primary_key]
    op.create_table(
        f"fleet_{name}", *ids, *rest, sa.PrimaryKeyConstraint(*keys.split(), *more, name=f"pk_fleet_{name}")
    )


def _index(table: str, columns: str) -> None:
    names = columns.split()
    op.create_index(f"ix_fleet_{table}_{'_'.join(names)}", f"fleet_{table}", names)


def _part_of(table: str, whole: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ("tenant_id", column),
        (f"fleet_{whole}.tenant_id", f"fleet_{whole}.id"),
        name=f"fk_fleet_{table}_tenant_id_{column}",
        ondelete="CASCADE",
    )


def _ids(names: str, null: bool = False) -> Iterator[sa.Column[str]]:
    return (sa.Column(name, sa.String(64), nullable=null) for name in names.split())


def _words(names: str, null: bool = False) -> Iterator[sa.Column[str]]:
    return (sa.Column(name, Words, nullable=null) for name in names.split())


def _documents(names: str, null: bool = False) -> Iterator[sa.Column[object]]:
    return (sa.Column(name, Document, nullable=null) for name in names.split())


def _moments(names: str, null: bool = False) -> Iterator[sa.Column[object]]:
    return (sa.Column(name, Moment, nullable=null) for name in names.split())


def _numbers(names: str, null: bool = False) -> Iterator[sa.Column[int]]:
    return (sa.Column(name, sa.BigInteger, nullable=null) for name in names.split())
