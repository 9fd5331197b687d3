"""Artifacts over REST: listed, saved and never shown, and nothing else of the disk."""

from __future__ import annotations

import hashlib
import shutil
from typing import Any

import pytest

from tests.server.serving import Serving

ADA = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "ada"}


@pytest.fixture(scope="module")
def artifact(server: Serving) -> dict[str, Any]:
    """A value too long for the log, which became a file."""
    run = server.post("runs", message="long " * 10_000, session="artifacts", mode="direct")["run"]
    server.finished(run)
    server.get(f"runs/{run}")
    made: dict[str, Any] = server.get("artifacts", run=run)["items"][0]
    return made


def test_a_file_is_sent_to_be_saved_whatever_it_is(server: Serving, artifact: dict[str, Any]) -> None:
    answer = server.client.get(f"{server.base}artifacts/{artifact['run']}/{artifact['id']}")
    assert hashlib.sha256(answer.content).hexdigest() == artifact["sha256"]
    assert len(answer.content) == artifact["bytes"] > 32_000
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_artifacts_of_somebody_else_do_not_exist(server: Serving, artifact: dict[str, Any]) -> None:
    place = f"{server.base}artifacts/{artifact['run']}"
    assert server.client.get(f"{place}/{artifact['id']}", headers=ADA).status_code == 404
    assert server.client.get(f"{server.base}artifacts", headers=ADA).json()["total"] == 0
    assert server.client.get(f"{place}/a999").status_code == 404


def test_a_link_in_the_place_of_a_file_leads_nowhere(server: Serving, artifact: dict[str, Any]) -> None:
    path = next((server.home / "runs" / artifact["run"] / "artifacts").glob(f"{artifact['id']}-*"))
    aside = path.with_name("aside")
    shutil.move(path, aside)
    try:
        for target in ("/etc/hostname", aside):
            path.symlink_to(target)
            server.get(f"artifacts/{artifact['run']}/{artifact['id']}", 404)
            path.unlink()
    finally:
        shutil.move(aside, path)
