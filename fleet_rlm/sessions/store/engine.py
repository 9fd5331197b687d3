"""How the two databases are opened: SQLite in WAL mode with explicit transactions, Postgres fit for a pooler.

SQLite's driver would open transactions on its own, and late; here each begins as it is meant: a writer with BEGIN
IMMEDIATE, so that it waits for its turn instead of failing at the first write. Postgres goes without prepared
statements, which poolers in transaction mode (Neon's, PgBouncer) hand to the wrong client, and connections are checked
before use and renewed before an idle database cuts them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from fleet_rlm.core.errors import UserError

WRITES = "fleet_writes"
"""Execution option of a connection whose transaction will write."""

BUSY_S = 30
"""How long a writer waits for another process's transaction; ours take milliseconds, a migration seconds."""

POOL = 5
RECYCLE_S = 240
"""Neon cuts connections after 300 idle seconds."""

CONNECT_S = 10

logger = logging.getLogger("fleet_rlm")


@dataclass(frozen=True)
class Place:
    """Where the store is: a SQLite file, or a Postgres URL."""

    url: URL

    @property
    def file(self) -> Path | None:
        """The SQLite file; None on Postgres."""
        return Path(self.url.database or "") if self.url.get_backend_name() == "sqlite" else None

    def __str__(self) -> str:
        if self.file is not None:
            return f"the database {self.file}"
        host = self.url.host or self.url.query.get("host") or "localhost"
        return f"the database {self.url.database} on {host}"

    def async_engine(self) -> AsyncEngine:
        """For the store."""
        if self.file is not None:
            engine = create_async_engine(self.url.set(drivername="sqlite+aiosqlite"), pool_size=POOL, **_SQLITE)
            _explicit_transactions(engine.sync_engine, foreign_keys=True)
            return engine
        return create_async_engine(self.url.set(drivername="postgresql+psycopg"), pool_size=POOL, **_POSTGRES)

    def migration_engine(self) -> Engine:
        """For migrations; foreign keys are not enforced on SQLite, where altering a table means replacing it."""
        if self.file is not None:
            engine = create_engine(self.url.set(drivername="sqlite+pysqlite"), **_SQLITE)
            _explicit_transactions(engine, foreign_keys=False)
            return engine
        return create_engine(self.url.set(drivername="postgresql+psycopg"), **_POSTGRES)


_SQLITE: dict[str, Any] = {"connect_args": {"timeout": BUSY_S}}
_POSTGRES: dict[str, Any] = {
    "connect_args": {"prepare_threshold": None, "connect_timeout": CONNECT_S},
    "pool_pre_ping": True,
    "pool_recycle": RECYCLE_S,
}


def place_of(url: str | None, home: Path) -> Place:
    """The place a URL names; without one, `fleet.db` in the home.

    Raises:
        UserError: the URL is not one of SQLite or Postgres.
    """
    if not url:
        return Place(URL.create("sqlite", database=str(home / "fleet.db")))
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UserError("DATABASE_URL is not a URL; write postgresql://role:password@host/database") from error
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return Place(parsed.set(drivername="sqlite"))
    if kind in ("postgres", "postgresql"):
        _need_psycopg()
        _warn_of_tls(parsed)
        return Place(parsed.set(drivername="postgresql"))
    raise UserError(
        f"DATABASE_URL begins with {parsed.drivername!r}; write postgresql://role:password@host/database, or "
        "sqlite:////path/to/file.db"
    )


def _need_psycopg() -> None:
    try:
        import psycopg  # noqa: F401  # an extra: most people work with a file
    except ImportError as error:
        raise UserError(
            "DATABASE_URL names a Postgres, and its driver is missing; pip install 'fleet-rlm[postgres]'"
        ) from error


def _warn_of_tls(url: URL) -> None:
    host = url.host or ""
    remote = host not in ("", "localhost", "127.0.0.1", "::1") and not host.startswith("/")
    mode = url.query.get("sslmode")
    if remote and mode not in ("verify-full", "verify-ca"):
        logger.warning(
            "DATABASE_URL has sslmode=%s: whoever sits between can pose as %s; use sslmode=verify-full", mode, host
        )


def _explicit_transactions(engine: Engine, foreign_keys: bool) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
