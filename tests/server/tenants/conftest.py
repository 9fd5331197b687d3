"""One Postgres and one server for all tests of tenants and limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.services.conftest import KEY, Model, model
from tests.server.tenants.world import World, world
from tests.twins.postgres import running_postgres

__all__ = ["model"]

PRICED = "openai/gpt-4.1"
"""A model whose price is known."""

WRITES = 40
"""Requests a minute by which one user may change something."""


@pytest.fixture(scope="session")
def deployed(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server; its model answers "forty-two"."""
    environ = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": model.server.base_url,
        "FLEET_LM": "openai/twin",
        "FLEET_LM_ALLOW": PRICED,
    }
    with (
        running_postgres() as postgres,
        world(
            tmp_path_factory.mktemp("tenants"), postgres.fresh(), {"FleetApp.rates": f"write={WRITES}"}, **environ
        ) as one,
    ):
        yield one
