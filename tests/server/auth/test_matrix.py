"""The attack matrix: every attempt gets the answer it must, the page says the same, and no secret reaches the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.auth.matrix import ISSUER, TABLES, page
from tests.server.auth.row import Row
from tests.server.auth.world import World, world

PAGE = Path(__file__).parents[3] / "docs" / "auth-matrix.md"
pytestmark = pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")

ROWS = [row for table in TABLES.values() for row in table]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("server")) as one:
        yield one


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_the_attempt_gets_the_answer_it_must(attacked: World, row: Row) -> None:
    assert row.run(attacked) == row.must


def test_no_token_ticket_code_or_cookie_is_in_the_log(attacked: World) -> None:
    attacked.request("GET", "/fleet/api/v1/broken", attacked.token(), params={"token": attacked.token()})
    attacked.socket(query={"auth_ticket": attacked.ticket()})
    log = attacked.server.log()
    assert "ZeroDivisionError" in log
    told = [secret for secret in attacked.secrets if secret[-40:] in log]
    assert len(attacked.secrets) > 2
    assert not told


@pytest.mark.parametrize("row", ISSUER, ids=lambda row: row.what)
def test_the_issuer_may_change_fail_and_be_abused(tmp_path: Path, row: Row) -> None:
    with world(tmp_path) as fresh:
        assert row.run(fresh) == row.must


def test_the_page_is_the_matrix() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.server.auth.matrix > docs/auth-matrix.md"
