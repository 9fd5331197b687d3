"""A server that we start reads no large body of a stranger, not for Jupyter's own routes either."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fleet_rlm.server.auth.body import BODY_BYTES, DROPPED_BYTES
from tests.server.test_launch import command, free_port

CONTENTS = "/team/api/contents/x.txt"
PIECE = b"x" * (1 << 20)
LARGE = {"type": "file", "format": "text", "content": "x" * (3 << 20)}


@dataclass
class Started:
    """A server of ours."""

    pid: int
    port: int
    token: str

    def memory(self) -> int:
        """Bytes it has."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def put(self, token: str | None, path: str = CONTENTS) -> httpx.Response:
        """Save a large file."""
        headers = {} if token is None else {"Authorization": f"token {token}"}
        return httpx.put(f"http://127.0.0.1:{self.port}{path}", json=LARGE, headers=headers, trust_env=False)


def until_it_listens(port: int) -> None:
    """The server says where it is a moment before it is there."""
    until = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 30).close()
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)  # nothing tells when it listens


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """`fleet serve`."""
    port = free_port()
    serving = command(
        tmp_path_factory.mktemp("front"), "serve", f"--port={port}", "--base-url=/team/", "--", "--allow-root"
    )
    assert serving.stdout is not None
    try:
        told = "".join(serving.stdout.readline() for _ in range(4))
        token = re.search(r"token ([0-9a-f]{48})'", told)
        assert token is not None, told
        until_it_listens(port)
        yield Started(serving.pid, port, token[1])
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(30)


@pytest.mark.parametrize("how", [f"Content-Length: {DROPPED_BYTES}", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", [CONTENTS, "/team/login", "/team/nowhere", "/elsewhere"])
def test_a_stranger_fills_no_memory_on_any_route(started: Started, path: str, how: str) -> None:
    before = started.memory()
    with socket.create_connection(("127.0.0.1", started.port), 30) as stranger:
        stranger.sendall(f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{how}\r\n\r\n".encode())
        for _ in range(DROPPED_BYTES // len(PIECE) - 1):
            stranger.sendall(PIECE if "Length" in how else b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        assert started.memory() - before < 24 << 20
        stranger.sendall(PIECE if "Length" in how else b"0\r\n\r\n")
        answer = stranger.recv(4_000)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'{"code": "no_credentials"' in answer


def test_more_than_anybody_may_send_is_not_even_read(started: Started) -> None:
    with socket.create_connection(("127.0.0.1", started.port), 30) as stranger:
        length = DROPPED_BYTES + 1
        stranger.sendall(f"PUT {CONTENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n".encode())
        assert stranger.recv(100).startswith(b"HTTP/1.1 401 ")


def test_whoever_is_known_saves_large_files_and_whoever_is_not_is_told_why(started: Started) -> None:
    assert started.put(started.token).status_code == 201
    assert started.put(None).json()["code"] == "no_credentials"
    wrong = started.put("wrong")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_token")
    assert wrong.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')


def test_our_own_routes_and_small_bodies_are_as_without_it(started: Started) -> None:
    assert started.put(None, "/team/fleet/api/v1/runs").json()["message"].startswith("sign in")
    small = httpx.put(f"http://127.0.0.1:{started.port}{CONTENTS}", content=b"x" * BODY_BYTES, trust_env=False)
    assert small.status_code == 403, "what Jupyter says"
