"""Where the store is, from the URL to a connection that is fit for a pooler."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.loop import run_sync
from fleet_rlm.core.settings import Settings
from fleet_rlm.sessions.store import open_store
from fleet_rlm.sessions.store.engine import place_of
from tests.twins.postgres import Database


def test_without_a_url_it_is_a_file_in_the_home(tmp_path: Path) -> None:
    assert open_store(settings=Settings(home=tmp_path)).place.file == tmp_path / "fleet.db"


def test_the_environment_names_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://fleet_app@127.0.0.1/fleet")
    assert str(open_store().place) == "the database fleet on 127.0.0.1"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_every_name_of_postgres_means_psycopg(scheme: str) -> None:
    assert place_of(f"{scheme}://role@127.0.0.1/fleet", Path()).async_engine().driver == "psycopg"


@pytest.mark.parametrize("url", ["mysql://u@h/d", "fleet.db", "sqlite://", "sqlite:///:memory:"])
def test_another_database_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(UserError, match="write postgresql://role:password@host/database"):
        place_of(url, Path())


def test_a_missing_driver_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"pip install 'fleet-rlm\[postgres\]'"):
        place_of("postgresql://r@127.0.0.1/fleet", Path())


def test_a_password_is_in_no_message() -> None:
    assert "s3cret" not in str(place_of("postgresql://fleet_app:s3cret@127.0.0.1/fleet", Path()))


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("postgresql://r@db.example.com/fleet", True),
        ("postgresql://r@db.example.com/fleet?sslmode=require", True),
        ("postgresql://r@db.example.com/fleet?sslmode=verify-full", False),
        ("postgresql://r@127.0.0.1/fleet", False),
        ("postgresql://r@/fleet?host=/run/postgresql", False),
    ],
)
def test_a_remote_server_that_is_not_verified_is_warned_of(
    url: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fleet_rlm"):
        place_of(url, Path())
    assert ("use sslmode=verify-full" in caplog.text) == warned


def test_postgres_connections_are_fit_for_a_pooler(database: Database) -> None:
    async def look() -> tuple[object, object, object]:
        engine = place_of(database.app, Path()).async_engine()
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            found = driver.prepare_threshold, engine.pool._pre_ping, engine.pool._recycle
        await engine.dispose()
        return found

    threshold, is_checked, age = run_sync(look())
    assert threshold is None
    assert is_checked
    assert 0 < age < 300  # type: ignore[operator]


def test_the_tenant_is_named_for_one_transaction_only(database: Database) -> None:
    store = open_store(database.app)
    store.scoped().sessions.create("one")

    async def left_behind() -> object:
        engine = await store._opened()
        async with engine.connect() as connection:
            return (await connection.exec_driver_sql("select current_setting('app.tenant_id', true)")).scalar()

    assert run_sync(left_behind()) in (None, "")
    store.close()
