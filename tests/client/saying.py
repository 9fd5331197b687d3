"""A server of a few lines that says the same to everybody, and keeps what it was asked.

with Saying(404, {"code": "not_found", "message": "there is none"}) as server:
    Client(server.address).runs.get("r")
server.asked   # [Asked("GET", "/fleet/api/v1/runs/r", ...)]
"""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request; `fields` are the names in its query and its body."""

    verb: str
    path: str
    fields: frozenset[str]


class Saying:
    """Listens at `address` while the block lasts. With `hangs_up`, as many first requests get no answer at all."""

    def __init__(
        self, status: int, body: object, *, hangs_up: int = 0, tls: ssl.SSLContext | None = None, **headers: str
    ) -> None:
        asked: list[Asked] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _say(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                is_json = self.headers.get("Content-Type") == "application/json"
                whole = urlsplit(self.path)
                given: dict[str, Any] = {**parse_qs(whole.query), **(json.loads(sent) if is_json else {})}
                asked.append(Asked(self.command, whole.path, frozenset(given)))
                if len(asked) <= hangs_up:
                    self.close_connection = True
                    return
                text = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _say

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
