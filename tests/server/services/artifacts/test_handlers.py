"""Artifacts over REST: listed, saved and never shown, and nothing else of the disk."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.server.services.artifacts.service import file_of
from fleet_rlm.server.services.errors import NotFound
from tests.server.serving import Serving
from tests.twins.swapper import swapped

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


def test_no_file_outside_is_opened_while_a_folder_becomes_a_link_and_back(tmp_path: Path) -> None:
    for place, text in (("runs/r1/artifacts", b"mine"), ("outside", b"secret")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a1-x").write_bytes(text)
    folder = tmp_path / "runs" / "r1" / "artifacts"
    sent, refused = 0, 0
    with swapped(folder, tmp_path / "outside"):
        for _ in range(3_000):
            try:
                with file_of(tmp_path / "runs", "r1", folder / "a1-x", "a1") as file:
                    assert file.read() == b"mine"
                sent += 1
            except NotFound:
                refused += 1
    assert sent > 0
    assert refused > 0


def test_a_log_that_names_a_file_of_another_run_is_not_believed(tmp_path: Path) -> None:
    for run in ("r1", "r2"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "x").write_bytes(run.encode())
    (tmp_path / "linked").symlink_to(tmp_path / "runs")
    with file_of(tmp_path / "linked", "r1", tmp_path / "runs" / "r1" / "x", "a1") as file:
        assert file.read() == b"r1"
    for path in (tmp_path / "runs" / "r2" / "x", tmp_path / "runs" / "r1" / ".." / "r2" / "x"):
        with pytest.raises(NotFound):
            file_of(tmp_path / "runs", "r1", path, "a1")
