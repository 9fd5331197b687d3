"""In front of all routes of a server that we start, Jupyter's too: a large body waits until it is known who sends it.

Our own handlers see to that themselves, on any Jupyter server (`auth/body.py`). Jupyter's read a body first and ask
later, and JupyterLab needs its limit of 512 MiB to save large notebooks; so a stranger is found out here, before.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application, HTTPError

from fleet_rlm.server.auth.body import BODY_BYTES, DROPPED_BYTES, announced_bytes
from fleet_rlm.server.auth.guard import WRONG_TOKEN
from fleet_rlm.server.auth.refusals import Forbidden, InvalidToken, Refusal, refusal_of

OURS = "fleet/api/"


class Front(HTTPServerConnectionDelegate):
    """Stands between an HTTP server and its application.

    Args:
        app: a Jupyter server's application.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """One request begins."""
        return _Door(self._app, request_conn, self._app.start_request(server_conn, request_conn))


class _Door(HTTPMessageDelegate):
    """Passes one request on, or drops its body and refuses it."""

    def __init__(self, app: Application, connection: Any, inner: HTTPMessageDelegate) -> None:
        self._app = app
        self._connection = connection
        self._inner = inner
        self._refusal: Refusal | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """Ask who it is where the body is large, or of a length that is not told."""
        assert isinstance(start_line, RequestStartLine)
        length = announced_bytes(headers)
        inside = start_line.path.startswith(f"{self._app.settings['base_url']}{OURS}")
        if inside or (length is not None and length <= BODY_BYTES):
            return self._inner.headers_received(start_line, headers)
        return self._asked(start_line, headers, length)

    async def _asked(self, start_line: RequestStartLine, headers: HTTPHeaders, length: int | None) -> None:
        request = HTTPServerRequest(connection=self._connection, headers=headers, start_line=start_line)
        self._refusal = await self._refused(request)
        if self._refusal is None:
            going = self._inner.headers_received(start_line, headers)
            if going is not None:
                await going
        elif (length or 0) > DROPPED_BYTES or "Expect" in headers:
            self._refuse(self._refusal, Connection="close")
        else:
            self._connection.set_max_body_size(DROPPED_BYTES)

    async def _refused(self, request: HTTPServerRequest) -> Refusal | None:
        """Why the request is not let in; None where somebody is known."""
        handler = JupyterHandler(self._app, request)
        try:
            user = await ensure_async(handler.identity_provider.get_user(handler))
        except HTTPError as error:
            return Forbidden("permission_denied", error.get_message() or "you may not do that here")
        if user is not None:
            return None
        return InvalidToken(WRONG_TOKEN) if handler.identity_provider.get_token(handler) else refusal_of(handler)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """A piece of the body."""
        return self._inner.data_received(chunk) if self._refusal is None else None

    def finish(self) -> None:
        """The body is over."""
        if self._refusal is None:
            self._inner.finish()
        else:
            self._refuse(self._refusal)

    def on_connection_close(self) -> None:
        """Whoever asked is gone."""
        if self._refusal is None:
            self._inner.on_connection_close()

    def _refuse(self, refusal: Refusal, **more: str) -> None:
        body = json.dumps({"code": refusal.code, "message": str(refusal)}).encode()
        told = HTTPHeaders({"Content-Type": "application/json", "Content-Length": str(len(body)), **more})
        challenge = refusal.challenge()
        if challenge is not None:
            told["WWW-Authenticate"] = challenge
        self._connection.write_headers(ResponseStartLine("HTTP/1.1", refusal.status, "Refused"), told, body)
        self._connection.finish()
