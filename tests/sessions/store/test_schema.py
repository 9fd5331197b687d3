"""The schema comes and is kept up to date without being asked for; what is damaged or newer is left as it is."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from fleet_rlm.sessions.store import (
    NotFound,
    StoreDamaged,
    StoreOutdated,
    StoreTooNew,
    StoreUnavailable,
    UnsafeRole,
    open_store,
    schema,
    upgrade,
)
from fleet_rlm.sessions.store.engine import WRITES, place_of
from tests.sessions.store.conftest import ADA
from tests.twins.postgres import OWNER, Database, Postgres

PROGRAM = """
import sys
from fleet_rlm.sessions.store import open_store
store = open_store()
for number in range(20):
    store.scoped().sessions.create(f"{sys.argv[1]} {number}")
"""

OLD_ROWS = (
    "insert into fleet_tenants (tenant_id, status, created_at) values ('acme', 'active', '2026-01-01 00:00:00')",
    "insert into fleet_sessions (tenant_id, id, user_id, name, status, revision, metadata, created_at, updated_at) "
    "values ('acme', 's', 'ada', 'incident', 'active', 1, '{}', '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    'insert into fleet_turns (tenant_id, session_id, "index", message, status, metadata, created_at) '
    "values ('acme', 's', 0, 'What broke?', 'ok', '{}', '2026-01-01 00:00:00')",
)
"""What every schema so far took."""


def file_url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_a_file_is_made_in_the_home_and_is_its_users_own(fleet_home: Path) -> None:
    open_store().open()
    file = fleet_home / "fleet.db"
    assert file.stat().st_mode & 0o777 == 0o600
    assert fleet_home.stat().st_mode & 0o777 == 0o700


def test_opening_touches_nothing_before_the_first_verb(fleet_home: Path) -> None:
    open_store()
    assert not fleet_home.exists()


def test_the_tables_are_what_the_classes_say(url: str, database: Database) -> None:
    open_store(url).open()
    with place_of(url if "sqlite" in url else database.owner, Path()).migration_engine().connect() as connection:
        with connection.execution_options(**{WRITES: True}).begin():
            command.check(schema.config(connection))  # raises where alembic would still change something


def test_the_revisions_that_are_known_are_alembics(tmp_path: Path) -> None:
    engine = place_of(file_url(tmp_path / "x.db"), Path()).migration_engine()
    with engine.connect() as connection:
        script = ScriptDirectory.from_config(schema.config(connection))
    assert schema.revisions() == [one.revision for one in reversed(list(script.walk_revisions()))]


def test_two_processes_may_make_and_write_one_file_at_once(fleet_home: Path) -> None:
    both = [subprocess.Popen([sys.executable, "-c", PROGRAM, name], stderr=subprocess.PIPE) for name in ("a", "b")]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert open_store().scoped().sessions.list().total == 40


def test_two_administrators_may_upgrade_postgres_at_once(postgres: Postgres) -> None:
    url = postgres.empty().owner
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(upgrade, [url, url])) == [schema.revisions()[-1]] * 2


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
@pytest.mark.parametrize("old", schema.revisions()[:-1])
def test_a_database_of_an_older_schema_keeps_its_rows(old: str, place: str, tmp_path: Path, postgres: Postgres) -> None:
    url = file_url(tmp_path / "fleet.db") if place == "sqlite" else postgres.empty().owner
    engine = place_of(url, Path()).migration_engine()
    with engine.connect() as connection, connection.execution_options(**{WRITES: True}).begin():
        command.upgrade(schema.config(connection), old)
        for row in OLD_ROWS:
            connection.exec_driver_sql(row)
    assert upgrade(url) == schema.revisions()[-1]
    with engine.connect() as connection, connection.execution_options(**{WRITES: True}).begin():
        command.check(schema.config(connection))
        if place == "postgres":
            connection.exec_driver_sql("select set_config('app.tenant_id', 'acme', true)")
        query = "select name, message from fleet_sessions join fleet_turns on session_id = id"
        assert connection.exec_driver_sql(query).fetchall() == [("incident", "What broke?")]
    engine.dispose()


def test_upgrading_a_file_makes_it_too(tmp_path: Path) -> None:
    assert upgrade(file_url(tmp_path / "x.db")) == schema.revisions()[-1]
    assert open_store(file_url(tmp_path / "x.db")).scoped().sessions.list().total == 0


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one" * 40, b"\x00" * 4096])
def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "fleet.db"
    file.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"fleet\.db is damaged .* move it aside"):
        open_store(file_url(file)).open()
    assert file.read_bytes() == content


def test_a_file_that_breaks_later_is_told_the_same_way(tmp_path: Path) -> None:
    file = tmp_path / "fleet.db"
    store = open_store(file_url(file))
    for number in range(50):
        store.scoped().sessions.create(f"session {number}", title="x" * 1000)
    store.close()
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(StoreDamaged, match="damaged"):
        open_store(file_url(file)).scoped().sessions.list()
    assert file.read_bytes()[:8192] == whole[:8192]


def test_a_file_of_a_later_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "fleet.db"
    upgrade(file_url(file))
    with sqlite3.connect(file) as connection:
        connection.execute("update fleet_version set version_num = '0999'")
    for attempt in (lambda: open_store(file_url(file)).open(), lambda: upgrade(file_url(file))):
        with pytest.raises(StoreTooNew, match=r"has schema 0999, and this fleet-rlm knows .* upgrade fleet-rlm"):
            attempt()
    with sqlite3.connect(file) as connection:
        assert connection.execute("select version_num from fleet_version").fetchone() == ("0999",)


def test_a_later_schema_on_postgres_is_refused(own_database: Database) -> None:
    with psycopg.connect(own_database.owner) as owner:
        owner.execute("update fleet_version set version_num = '0999'")
    for attempt in (lambda: open_store(own_database.app).open(), lambda: upgrade(own_database.owner)):
        with pytest.raises(StoreTooNew):
            attempt()


def test_a_postgres_without_schema_says_who_has_to_do_what(postgres: Postgres) -> None:
    with pytest.raises(StoreOutdated, match=r"no schema .* run 'fleet db upgrade'"):
        open_store(postgres.empty().app).open()


def test_upgrading_without_the_runtime_role_says_how_to_make_it(postgres: Postgres) -> None:
    with pytest.raises(UnsafeRole, match="create role nobody login password"):
        upgrade(postgres.empty().owner, runtime_role="nobody")


def test_a_home_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=r"fleet\.db cannot be used now"):
        open_store(file_url(tmp_path / "file" / "fleet.db")).open()


def test_a_server_that_is_not_there_is_unavailable(postgres: Postgres) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be used now"):
        open_store("postgresql://fleet_app@/nowhere?host=/nowhere").open()


def test_a_store_that_was_unavailable_opens_once_it_is_not(tmp_path: Path) -> None:
    obstacle = tmp_path / "home"
    obstacle.write_text("in the way")
    store = open_store(file_url(obstacle / "fleet.db"))
    with pytest.raises(StoreUnavailable):
        store.open()
    obstacle.unlink()
    with pytest.raises(NotFound):
        store.scoped(ADA).sessions.get("none")


def test_others_tables_in_the_schema_are_left_alone(postgres: Postgres) -> None:
    database = postgres.empty()
    with psycopg.connect(database.owner) as owner:
        owner.execute("create table theirs (id int)")
    upgrade(database.owner)
    with place_of(database.owner, Path()).migration_engine().begin() as connection:
        command.check(schema.config(connection))
    with psycopg.connect(database.owner) as owner:
        assert owner.execute("select relrowsecurity from pg_class where relname = 'theirs'").fetchone() == (False,)
    assert OWNER in database.owner
