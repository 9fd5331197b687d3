"""The schema's version: what this fleet-rlm knows, what a database has, and the way from one to the other.

A SQLite file is brought up to date on first use, in one transaction that two processes cannot both be in. Postgres is
upgraded by an administrator (`upgrade`), with the role that owns the tables; a server only checks.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet_rlm.sessions.store.engine import BUSY_S, WRITES, Place, place_of
from fleet_rlm.sessions.store.errors import StoreOutdated, StoreTooNew, translated

VERSION_TABLE = "fleet_version"
RUNTIME_ROLE = "fleet_app"

_LOCK = 0x666C656574  # "fleet": the advisory lock of a migration


def revisions() -> list[str]:
    """The revisions this program knows, oldest first."""
    files = (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
    return sorted(file.stem.partition("_")[0] for file in files)


def judged(found: str | None, place: object) -> bool:
    """Whether the schema is as this program wants it; False where it is older or not there.

    Raises:
        StoreTooNew: it is of a revision this program does not know.
    """
    known = revisions()
    if found is not None and found not in known:
        raise StoreTooNew(
            f"{place} has schema {found}, and this fleet-rlm knows {known[-1]} at most; upgrade fleet-rlm, or set "
            "FLEET_HOME or DATABASE_URL to another place"
        )
    return found == known[-1]


def prepare_file(place: Place) -> None:
    """Make the SQLite file, or bring it up to date.

    Raises:
        StoreDamaged, StoreTooNew, StoreUnavailable: the file cannot be used; it is left as it is.
    """
    file = place.file
    assert file is not None
    with translated(str(place)):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # prompts and data are the user's own
        if not judged(_version_of(file), place):
            engine = place.migration_engine()
            try:
                with engine.connect() as connection, connection.execution_options(**{WRITES: True}).begin():
                    migrate(connection)
            finally:
                engine.dispose()


def _version_of(file: Path) -> str | None:
    connection = sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=BUSY_S)
    try:
        made = connection.execute("select 1 from sqlite_master where name = ?", (VERSION_TABLE,)).fetchone()
        row = connection.execute(f"select version_num from {VERSION_TABLE}").fetchone() if made else None
        return row[0] if row else None
    finally:
        connection.close()


async def check_server(connection: AsyncConnection, place: Place) -> None:
    """Whether a Postgres schema is the one this program wants.

    Raises:
        StoreOutdated, StoreTooNew: it is not.
    """
    made = await connection.exec_driver_sql("select to_regclass(%s)", (VERSION_TABLE,))
    found = None
    if made.scalar() is not None:
        found = (await connection.exec_driver_sql(f"select version_num from {VERSION_TABLE}")).scalar()
    if not judged(found, place):
        raise StoreOutdated(
            f"{place} has {'no schema' if found is None else f'schema {found}'} and this fleet-rlm needs "
            f"{revisions()[-1]}; run 'fleet db upgrade' with a DATABASE_URL of the role that owns the database"
        )


def upgrade(url: str, runtime_role: str = RUNTIME_ROLE) -> str:
    """Bring a database up to date as its owner; on Postgres also raise the walls and grant the runtime role its part.

    Args:
        url: of the owner, on the direct host, not the pooler.
        runtime_role: the role that servers connect as; it must exist.

    Returns:
        the revision it has now.

    Raises:
        UnsafeRole: the runtime role is missing, or could see every tenant.
        StoreDamaged, StoreTooNew, StoreUnavailable: the database cannot be used.
    """
    from fleet_rlm.sessions.store.policies import raise_walls

    place = place_of(url, Path())
    if place.file is not None:
        prepare_file(place)
        return revisions()[-1]
    engine = place.migration_engine()
    try:
        with translated(str(place)), engine.begin() as connection:
            connection.exec_driver_sql("select pg_advisory_xact_lock(%s)", (_LOCK,))
            migrate(connection)
            raise_walls(connection, runtime_role)
    finally:
        engine.dispose()
    return revisions()[-1]


def migrate(connection: Connection) -> None:
    """Run what is missing inside the transaction of `connection`."""
    from alembic import command  # 0.2 s: a database that is up to date does not pay for it
    from alembic.util import CommandError

    try:
        command.upgrade(config(connection), "head")
    except CommandError as error:
        raise StoreTooNew(f"the database has a schema this fleet-rlm does not know ({error})") from error


def config(connection: Connection):  # type: ignore[no-untyped-def]  # alembic is imported late
    """Alembic's configuration over an open connection."""
    from alembic.config import Config

    made = Config(attributes={"connection": connection}, stdout=sys.stdout)  # not the one of when alembic was imported
    made.set_main_option("script_location", "fleet_rlm.sessions.store:migrations")
    return made
