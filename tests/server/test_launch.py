"""Servers of our own: on this machine with a token, and nowhere else unless it was said how people sign in."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fleet_rlm.client import Client
from fleet_rlm.server.launch import is_loopback, refusal
from fleet_rlm.sessions.store import Identity, open_store
from tests.server.serving import ROOT, Serving
from tests.stopping import stop


def command(tmp_path: Path, *argv: str, **variables: str) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    environ = {**kept, "HOME": str(tmp_path), "FLEET_HOME": str(tmp_path / "fleet"), "PYTHONPATH": str(ROOT)}
    environ.update(variables)
    return subprocess.Popen(
        [sys.executable, "-m", "fleet_rlm.cli", *argv],
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding,
    )


def heeding() -> None:
    """Signals are heeded, also where what runs the tests was started in the background and ignores them."""
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_serve_is_on_this_machine_with_a_token_and_says_how_to_use_it(tmp_path: Path) -> None:
    port = free_port()
    server = command(tmp_path, "serve-api", f"--port={port}", "--base-url=/team/", "--", "--allow-root")
    assert server.stdout is not None
    try:
        told = "".join(server.stdout.readline() for _ in range(4))
        address = f"http://127.0.0.1:{port}/team/"
        assert f"described by {address}fleet/openapi.json" in told
        token = re.search(r"Authorization: token ([0-9a-f]{48})'", told)
        assert token is not None
        with Client(address, token=token[1]) as client:
            assert client.health().ok
            assert client.me().user == "local"
        with socket.create_connection(("127.0.0.1", port), 20) as stranger:
            stranger.sendall(b"POST /team/fleet/api/v1/runs HTTP/1.1\r\nHost: localhost\r\n")
            stranger.sendall(b"Content-Length: 400000000\r\n\r\n")
            assert stranger.recv(100).startswith(b"HTTP/1.1 401")  # before any of it was sent
        listening = Path("/proc/net/tcp").read_text()
        assert f"0100007F:{port:04X} 00000000:0000 0A" in listening
        assert f"00000000:{port:04X}" not in listening
    finally:
        stop(server)


def test_a_public_host_without_a_sign_in_is_refused_in_one_sentence(tmp_path: Path) -> None:
    server = command(tmp_path, "serve", "--host=0.0.0.0", f"--port={free_port()}", "--", "--allow-root")
    out, told = server.communicate(timeout=60)
    assert (server.returncode, out) == (2, "")
    assert "fleet: --host 0.0.0.0 can be reached by others, and nobody said how they sign in; choose one:" in told


def test_an_option_that_collides_with_ours_is_refused_in_one_sentence(tmp_path: Path) -> None:
    server = command(tmp_path, "serve", f"--port={free_port()}", "--", "--ServerApp.ip=0.0.0.0")
    out, told = server.communicate(timeout=60)
    assert (server.returncode, out) == (2, "")
    assert told == "fleet: write --host before the --, as in fleet serve --host ..., in place of --ServerApp.ip\n"


@pytest.mark.parametrize(
    ("variable", "value"), [("APP_ENV", "Production"), ("AUTH_MODE", "entra"), ("FLEET_LM", "openai/gpt-4o")]
)
def test_what_cannot_be_understood_leaves_no_server_without_the_sign_in(
    variable: str, value: str, tmp_path: Path
) -> None:
    server = command(tmp_path, "serve", f"--port={free_port()}", "--", "--allow-root", **{variable: value})
    try:
        out, told = server.communicate(timeout=60)
    finally:
        server.kill()
    assert server.returncode != 0
    assert out == ""
    assert re.search(rf"^fleet: .*({variable}|{re.escape(value)})", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"APP_ENV": "Production"}, "fleet: APP_ENV must be one of"),
        ({"AUTH_MODE": "Entra"}, "fleet: AUTH_MODE must be one of"),
        ({"APP_ENV": "production", "FLEET_LM": "openai/gpt-4o"}, "APP_ENV=production does not start with"),
    ],
)
def test_a_jupyter_server_does_not_go_on_without_us_where_the_deployment_is_unsafe(
    variables: dict[str, str], told: str, tmp_path: Path
) -> None:
    serving = Serving(tmp_path, {"ServerApp.reraise_server_extension_failures": "False"}, **variables)
    try:
        with pytest.raises(AssertionError, match=told):
            serving.start()
    finally:
        serving.stop()


def test_what_an_administrator_chose_is_not_replaced_unseen_by_what_auth_mode_is_short_for(tmp_path: Path) -> None:
    guid = "00000000-0000-4000-8000-000000000001"
    entra = {"AUTH_MODE": "entra", "ENTRA_CLIENT_ID": guid, "ENTRA_TENANTS": guid}
    theirs = {"ServerApp.identity_provider_class": "jupyter_server.auth.identity.PasswordIdentityProvider"}
    serving = Serving(tmp_path, theirs, **entra)
    try:
        with pytest.raises(AssertionError, match="AUTH_MODE=entra: the server signs people in by PasswordIdentityProv"):
            serving.start()
    finally:
        serving.stop()


OPEN = SimpleNamespace(auth_enabled=False, token="", token_generated=False)
MADE_UP = SimpleNamespace(auth_enabled=True, token="x", token_generated=True)
PASSWORD = SimpleNamespace(auth_enabled=True, token="", token_generated=False)
ENTRA = SimpleNamespace(auth_enabled=True, token="", token_generated=False, keys=object())


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "fleet.example.org", "*"])
def test_who_can_be_reached_by_others_must_say_how_they_sign_in(host: str) -> None:
    assert not is_loopback(host)
    assert "let anybody" in str(refusal(host, OPEN))
    assert "nobody said" in str(refusal(host, MADE_UP))
    assert refusal(host, PASSWORD) is None
    assert refusal(host, ENTRA) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_ones_own_machine_is_ones_own_business(host: str) -> None:
    assert refusal(host, MADE_UP) is None


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_stop_is_heeded_by_the_loop_so_that_it_cannot_strike_while_something_is_logged(
    sent: signal.Signals, tmp_path: Path
) -> None:
    port = free_port()
    server = command(tmp_path, "serve", f"--port={port}", "--", "--allow-root")
    assert server.stdout is not None
    try:
        assert "the API is at" in server.stdout.readline()
        socket.create_connection(("127.0.0.1", port)).close()  # it is told when it listens
        server.send_signal(sent)
        _, logged = server.communicate(timeout=20)
    finally:
        server.kill()
    assert server.returncode == 0
    assert "received signal" not in logged  # what Jupyter's own handler says


def test_ctrl_c_stops_in_order_where_there_is_no_terminal_too(tmp_path: Path) -> None:
    port = free_port()
    server = command(tmp_path, "serve", f"--port={port}", "--", "--allow-root", "--IdentityProvider.token=a-token")
    assert server.stdout is not None
    try:
        assert "the API is at" in server.stdout.readline()
        with Client(f"http://127.0.0.1:{port}/", token="a-token") as client:
            run = client.runs.start("How many?", session="s", mode="rlm_only").run
            next(iter(client.runs.events(run)))
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
    finally:
        server.kill()
    events = (tmp_path / f"fleet/runs/{run}/events.jsonl").read_bytes().splitlines()
    with contextlib.closing(open_store(f"sqlite:///{tmp_path}/fleet/fleet.db")) as store:
        row = store.scoped(Identity("local", "local")).runs.get(run)
    assert (row.status, row.last_seq) == ("stopped", len(events) - 1)


@pytest.mark.parametrize("kind", ["serve", "lab"])
def test_root_is_refused_before_anything_is_told_unless_it_was_allowed(tmp_path: Path, kind: str) -> None:
    started = [sys.executable, "-c", AS_ROOT, kind, str(free_port())]
    environ = {**os.environ, "HOME": str(tmp_path), "FLEET_HOME": str(tmp_path / "fleet"), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(started, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.stdout == ""
    assert f"start it as another user, or allow it: fleet {kind} -- --allow-root" in ended.stderr


AS_ROOT = """
import os, sys
os.geteuid = lambda: 0
from fleet_rlm.server.launch import launch
launch(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]))
"""
"""The same whoever runs the tests."""
