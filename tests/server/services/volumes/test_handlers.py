"""Volumes over REST: files go up and come down whole, and no path leads out."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.server.serving import Serving

ADA = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "ada"}
READER = {"X-Fleet-Debug-Roles": "Fleet.Read"}
FILE = "runtime/volume/file"


@pytest.fixture(scope="module")
def volume(server: Serving) -> str:
    """The volume of a session."""
    server.finished(server.post("runs", message="Files?", session="files", mode="direct")["run"])
    name: str = server.get("sessions/files")["id"]
    return name


def get(server: Serving, what: str, status: int = 200, **query: str | int) -> Any:
    answer = server.client.get(server.base + what, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def put(server: Serving, volume: str, path: str, data: bytes, **headers: str) -> int:
    query = {"volume": volume, "path": path}
    return server.client.put(server.base + FILE, params=query, content=data, headers=headers).status_code


def test_a_file_goes_up_is_seen_comes_down_and_goes(server: Serving, volume: str) -> None:
    data = "Grüße\n".encode() * 1_000
    assert put(server, volume, "memory/deep/notes.md", data) == 201
    tree = get(server, "runtime/volume/tree", volume=volume)
    assert [(node["path"], node["type"]) for node in tree["nodes"]] == [
        ("memory/deep", "folder"),
        ("memory/deep/notes.md", "file"),
    ]
    assert (tree["total_files"], tree["total_folders"], tree["truncated"]) == (1, 1, False)
    assert get(server, "runtime/volume/tree", volume=volume, max_depth=1)["nodes"] == [], "roots are no nodes"
    preview = get(server, FILE, volume=volume, path="memory/deep/notes.md", max_bytes=7)
    assert (preview["text"], preview["bytes"], preview["truncated"]) == ("Grüße", len(data), True)
    query = {"volume": volume, "path": "memory/deep/notes.md"}
    whole = server.client.get(f"{server.base}runtime/volume/download", params=query)
    assert whole.content == data
    assert whole.headers["Content-Disposition"].startswith('attachment; filename="notes.md"')
    listed = next(one for one in server.get("runtime/volumes")["items"] if one["name"] == volume)
    assert (listed["files"], listed["bytes"]) == (1, len(data))
    assert server.client.delete(server.base + FILE, params=query).status_code == 204
    assert server.client.delete(server.base + FILE, params=query).status_code == 404


def test_what_is_no_text_is_told_as_none(server: Serving, volume: str) -> None:
    assert put(server, volume, "artifacts/a.bin", b"\0\1\2") == 201
    assert get(server, FILE, volume=volume, path="artifacts/a.bin")["text"] is None


@pytest.mark.parametrize(
    "path", ["../x", "memory/../../x", "/etc/passwd", "meta/sessions/x", "memory", "memory/a\0b", "x"]
)
def test_no_path_leads_out_of_the_three_roots(server: Serving, volume: str, path: str) -> None:
    assert put(server, volume, path, b"x") == 400
    answer = server.client.get(server.base + FILE, params={"volume": volume, "path": path})
    assert answer.status_code in (400, 404)


def test_a_link_is_not_followed(server: Serving, volume: str) -> None:
    place = server.home / "volumes" / volume / "memory"
    place.mkdir(exist_ok=True)
    os.symlink("/etc/hostname", place / "link")
    get(server, FILE, 400, volume=volume, path="memory/link")
    get(server, "runtime/volume/download", 400, volume=volume, path="memory/link")


def test_a_file_that_code_named_by_bytes_is_listed(server: Serving, volume: str) -> None:
    place = server.home / "volumes" / volume / "memory"
    place.mkdir(exist_ok=True)
    name = os.fsencode(place) + b"/bad\xff"
    os.close(os.open(name, os.O_CREAT))
    try:
        nodes = get(server, "runtime/volume/tree", volume=volume)["nodes"]
        assert "memory/bad\\xff" in [node["path"] for node in nodes]
    finally:
        os.unlink(name)


@pytest.mark.parametrize("volume", ["..", "a/b", "", "-x"])
def test_what_is_no_name_of_a_volume_is_refused(server: Serving, volume: str) -> None:
    get(server, "runtime/volume/tree", 422, volume=volume)


def test_a_volume_that_is_not_there_is_not_made(server: Serving) -> None:
    assert put(server, "never-was", "memory/x", b"x") == 404
    assert not (server.home / "volumes" / "never-was").exists()


def test_uploads_stay_within_the_quota(server: Serving, volume: str) -> None:
    assert put(server, volume, "memory/big", b"x" * 2_000_000) == 413
    assert put(server, volume, "memory/fits", b"x" * 200_000) == 201


def test_volumes_of_somebody_else_do_not_exist_and_readers_change_nothing(server: Serving, volume: str) -> None:
    assert put(server, volume, "memory/x", b"x", **ADA) == 404
    assert server.client.get(f"{server.base}runtime/volumes", headers=ADA).json()["items"] == []
    assert put(server, volume, "memory/x", b"x", **READER) == 403
