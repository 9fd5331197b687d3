"""A real Jupyter server with our extension in a process of its own, and clients of it: REST by httpx, sockets by
websockets.

    with Serving(directory, FLEET_LM=f"m@{twin.base_url}") as server:
        server.post("runs", message="Why?", session="one")
        with server.drive() as socket:
            socket.ask("Why?", session_id="one")
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.stopping import stop

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-server"
START_S = 60
ANSWER_S = 60

SETTINGS = {
    "ServerApp.jpserver_extensions": "{'fleet_rlm': True, 'jupyterlab': False, 'jupyter_lsp': False}",
    "ServerApp.allow_unauthenticated_access": "False",
    "ServerApp.reraise_server_extension_failures": "True",
    "ServerApp.port_retries": "0",
    "IdentityProvider.token": TOKEN,
}


class Serving:
    """A server that runs while the block lasts.

    Args:
        directory: its home, and everything it writes.
        settings: further options of its command line, `FleetApp_x="1"` for `FleetApp.x`.
        environ: its variables besides those every program needs.

    Attributes:
        probe: what is asked to see whether it listens.
        home: its FLEET_HOME.
        port, base: where it listens, and the address of the API.
    """

    probe = "/api/status"

    def __init__(self, directory: Path, settings: dict[str, str] | None = None, **environ: str) -> None:
        self.directory = directory
        self.home = directory / "fleet"
        self.log_file = directory / "server.log"
        self.port = _free_port()
        self._settings = {**SETTINGS, **(settings or {})}
        self.origin = f"http://127.0.0.1:{self.port}{self._settings.get('ServerApp.base_url', '').rstrip('/')}"
        self.base = f"{self.origin}/fleet/api/v1/"
        self._environ = environ
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(headers={"Authorization": f"token {TOKEN}"}, timeout=ANSWER_S, trust_env=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.client.close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        root = self.directory / "root"
        root.mkdir(parents=True, exist_ok=True)
        options = {**self._settings, "ServerApp.port": str(self.port), "ServerApp.root_dir": str(root)}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        environ = {
            **kept,
            "HOME": str(self.directory),
            "FLEET_HOME": str(self.home),
            "JUPYTER_CONFIG_DIR": str(self.directory / "config"),
            "PYTHONPATH": str(ROOT),
            "NO_PROXY": "127.0.0.1",
            **self._environ,
        }
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", *arguments]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, env=environ, cwd=root, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                if self.client.get(self.origin + self.probe).status_code == 200:
                    return
            time.sleep(0.05)  # nothing tells when it listens
        raise AssertionError(f"the server did not start:\n{self.log()[-4000:]}")

    def stop(self) -> None:
        """Stop it in order."""
        if self.process is not None and self.process.poll() is None:
            stop(self.process)
        self.process = None

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def log(self) -> str:
        """All it has logged."""
        return self.log_file.read_text(errors="replace")

    def get(self, path: str, expected: int = 200, **query: Any) -> Any:
        """What a GET below the API answers; the status is checked."""
        return self._answer(self.client.get(self.base + path, params=query), expected)

    def post(self, path: str, status: int = 201, headers: dict[str, str] | None = None, **body: Any) -> Any:
        """What a POST answers."""
        return self._answer(self.client.post(self.base + path, json=body, headers=headers), status)

    def _answer(self, response: httpx.Response, status: int) -> Any:
        assert response.status_code == status, f"{response.status_code}: {response.text}\n{self.log()[-3000:]}"
        return response.json() if response.content else None

    @contextlib.contextmanager
    def drive(self, **headers: str) -> Iterator[Talk]:
        """A connection to `/ws/execution`."""
        with self.connected("ws/execution", **headers) as connection:
            yield Talk(connection)

    @contextlib.contextmanager
    def watch(self, query: str, **headers: str) -> Iterator[Talk]:
        """A connection to `/ws/execution/events`."""
        with self.connected(f"ws/execution/events?{query}", **headers) as connection:
            yield Talk(connection)

    def connected(self, path: str, **headers: str) -> ClientConnection:
        """A WebSocket below the API."""
        address = f"{self.base.replace('http', 'ws', 1)}{path}"
        given = {"Authorization": f"token {TOKEN}", **headers}
        return connect(address, additional_headers=given, max_size=None, proxy=None, open_timeout=ANSWER_S)

    def slow_watcher(self, run: str) -> SlowWatcher:
        """A watcher whose connection holds little and is not read."""
        return SlowWatcher(self, run)

    def finished(self, run: str) -> dict[str, Any]:
        """A run once it is over."""
        with self.watch(f"run={run}") as talk:
            talk.until("ended")
        told: dict[str, Any] = self.get(f"runs/{run}")
        return told

    def kernel_id_of(self, session: str) -> str:
        """The id of that kernel at the server, which its process has on its command line."""
        command = Path(f"/proc/{self.kernel_of(session)}/cmdline").read_bytes().decode()
        return next(one["id"] for one in self.kernels() if one["id"] in command)

    def kernel_of(self, session: str) -> int:
        """The process of the kernel in which a session is open: it holds the session's lock."""
        identity = self.get("runs", session=session, limit=1)["items"][0]["session"]
        pid: int = json.loads((self.home / "sessions" / f"{identity}.lease").read_text())["pid"]
        return pid

    def kernel_processes(self) -> list[int]:
        """The processes of all kernels."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"ipykernel" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def environment_of(self, pid: int) -> dict[str, str]:
        """The environment of a process, as the system tells it."""
        told = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        return dict(one.split("=", 1) for one in told if "=" in one)

    def until_kernel_is_gone(self, kernel: str) -> None:
        """Wait until the server has let go of a kernel."""
        until = time.monotonic() + ANSWER_S
        while kernel in {one["id"] for one in self.kernels()}:
            assert time.monotonic() < until
            time.sleep(0.05)  # nothing tells when it does

    def until_gone(self, pid: int) -> None:
        """Wait until a process has ended."""
        until = time.monotonic() + ANSWER_S
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < until
            time.sleep(0.05)  # it is no child of ours, so nobody tells when it does

    def until_logged(self, text: str) -> None:
        """Wait until the server has logged it."""
        until = time.monotonic() + ANSWER_S
        while text not in self.log():
            assert time.monotonic() < until, f"the server never logged {text!r}"
            time.sleep(0.05)  # a file tells nobody that it grows

    def until_culled(self, kernel: str) -> None:
        """Wait until the server has culled a kernel."""
        until = time.monotonic() + ANSWER_S
        while not any("Culling" in line and kernel in line for line in self.log().splitlines()):
            assert time.monotonic() < until
            time.sleep(0.05)  # nothing tells when it does

    def until_refused(self, token: str) -> None:
        """Wait until the gateway does not take a token any more."""
        until = time.monotonic() + ANSWER_S
        bearer = {"Authorization": f"Bearer {token}"}
        while httpx.get(f"{self.base}lm/models", headers=bearer, trust_env=False).status_code == 200:
            assert time.monotonic() < until
            time.sleep(0.05)  # nothing tells when

    @contextlib.contextmanager
    def executing(self, kernel: str, code: str, interrupt: bool = True) -> Iterator[None]:
        """A notebook executes code in a kernel, until the block ends or it is done."""
        address = f"{self.origin.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels"
        header = {
            "msg_id": "cell",
            "msg_type": "execute_request",
            "session": "notebook",
            "username": "",
            "version": "5",
        }
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": {"code": code}, "channel": "shell"}
        with connect(address, additional_headers=self.client.headers.items(), proxy=None) as channels:
            channels.send(json.dumps(request))
            while json.loads(channels.recv(ANSWER_S))["msg_type"] != "execute_input":
                pass
            yield
        if interrupt:
            self.client.post(f"{self.origin}/api/kernels/{kernel}/interrupt").raise_for_status()

    def memory(self) -> int:
        """Bytes of memory the server has."""
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def kernels(self) -> list[dict[str, Any]]:
        """The kernels of the server."""
        told: list[dict[str, Any]] = self.client.get(f"{self.origin}/api/kernels").json()
        return told


class Talk:
    """One side of a conversation over a socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []

    def say(self, type: str, **fields: Any) -> None:
        """Say something."""
        self.connection.send(json.dumps({"type": type, **fields}))

    def ask(self, content: str, **fields: Any) -> dict[str, Any]:
        """Ask a question, and wait until it is accepted."""
        self.say("message", content=content, **fields)
        return self.until("accepted")

    def hear(self) -> dict[str, Any]:
        """The next thing that is said; events are kept."""
        heard: dict[str, Any] = json.loads(self.connection.recv(ANSWER_S))
        if heard["type"] == "events":
            self.events += heard["events"]
        return heard

    def until(self, type: str) -> dict[str, Any]:
        """The next thing of a type; an error that was not waited for fails."""
        while (heard := self.hear())["type"] != type:
            assert heard["type"] != "error", heard
        return heard

    def until_event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first event of a kind with these fields, among those heard or to be heard."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                if event["kind"] == kind and all(event.get(name) == value for name, value in fields.items()):
                    return event
            seen = len(self.events)
            heard = self.hear()
            assert heard["type"] not in ("error", "ended"), heard

    @property
    def numbers(self) -> list[int]:
        """Of the events heard so far."""
        return [event["seq"] for event in self.events]


class SlowWatcher:
    """A WebSocket client made by hand, because every real one reads as fast as it can."""

    def __init__(self, server: Serving, run: str) -> None:
        self._server = server
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", server.port))
        lines = [
            f"GET /fleet/api/v1/ws/execution/events?run={run} HTTP/1.1",
            f"Host: 127.0.0.1:{server.port}",
            f"Authorization: token {TOKEN}",
            *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()

    def stalled(self) -> tuple[int, int]:
        """Take nothing until the server has had enough, then read all that it sent before.

        Returns:
            the number after the last event that came, and the closing code.
        """
        self._server.until_logged("takes nothing and is closed")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self._socket.recv(65_536):
                data += piece
        self._socket.close()
        data = data.partition(b"\r\n\r\n")[2]
        following, code = 0, 0
        for opcode, payload in _frames(data):
            if opcode == 8:
                code = int.from_bytes(payload[:2], "big")
            elif opcode in (1, 2) and (told := json.loads(payload))["type"] == "events":
                assert told["from"] == following
                following = told["to"] + 1
        return following, code


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole frames in what a server sent."""
    while len(data) >= 2:
        size, head = data[1], 2
        if size in (126, 127):
            head = 4 if size == 126 else 10
            size = int.from_bytes(data[2:head], "big")
        if len(data) < head + size:
            return
        yield data[0] & 15, data[head : head + size]
        data = data[head + size :]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
