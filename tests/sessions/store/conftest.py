"""Every test of the store runs on both databases: a SQLite file, and a real Postgres with a role that RLS binds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_rlm.sessions.store import Identity, Scope, Store, open_store
from tests.twins.postgres import Database, Postgres, running_postgres

ADA = Identity("acme", "ada")
CARL = Identity("acme", "carl")
BOB = Identity("other", "bob")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Database:
    """An empty, up-to-date Postgres database."""
    return postgres.emptied()


@pytest.fixture
def own_database(postgres: Postgres) -> Database:
    """One whose schema and policies this test may spoil."""
    return postgres.fresh()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a server of fleet-rlm would be pointed to."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/fleet.db"
    app: str = request.getfixturevalue("database").app
    return app


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def mine(store: Store) -> Scope:
    """What ada of acme sees."""
    return store.scoped(ADA)


@pytest.fixture
def colleagues(store: Store) -> Scope:
    """What carl, of acme too, sees."""
    return store.scoped(CARL)


@pytest.fixture
def theirs(store: Store) -> Scope:
    """What bob of another tenant sees."""
    return store.scoped(BOB)
