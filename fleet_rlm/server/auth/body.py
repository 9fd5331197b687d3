"""Bodies wait until it is known who sends them, and end where the verb's limit is.

By itself tornado reads a body before it asks any handler, a stranger's too, up to one limit for the whole server,
which at Jupyter is 512 MiB. A handler with `Bounded` is asked first. The body of what is refused is read all the same,
because most clients listen only after they have sent it, but nothing of it is kept; beyond `DROPPED_BYTES` it is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_server.base.handlers import JupyterHandler
from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError
from tornado.web import Finish

from fleet_rlm.server.auth.refusals import TooLarge, UnsupportedBody
from fleet_rlm.server.auth.refused import RefusedRequest

if TYPE_CHECKING:
    _Handler = JupyterHandler
else:
    _Handler = object  # a mixin, as `Guarded` is

BODY_BYTES = 1 << 20
DROPPED_BYTES = 128 << 20


class Bounded(_Handler):
    """Has `admit` decide before the body is read; the class that inherits it is marked `stream_request_body`.

    Attributes:
        most_bytes: what a body may have.
        is_read: whether it was, to its end; else the connection ends with the answer.
    """

    most_bytes = BODY_BYTES
    is_read = False
    _kept: bytearray | None = None

    async def admit(self, **options: Any) -> None:
        """Raise whatever speaks against the request."""
        await super().prepare(**options)

    async def prepare(self, **options: Any) -> None:
        """Admit the request, then have its body come; afterwards `self.request.body` is all of it.

        Raises:
            RefusedRequest: the body is too large, or compressed.
            Finish: whoever asked is gone.
        """
        try:
            await self.admit(**options)
            self._check_announced()
        except Exception:  # whatever it is, it is raised as soon as the client listens
            if not self._is_cut_off():
                await self._arrived()
            raise
        if self._finished:
            return
        self._kept = bytearray()
        await self._arrived()
        if self._kept is None:
            raise RefusedRequest(TooLarge(self.most_bytes))
        self.request.body, self._kept = bytes(self._kept), None

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece, unless nothing is kept or it is one too many."""
        if self._kept is None:
            return
        if len(self._kept) + len(chunk) > self.most_bytes:
            self._kept = None
        else:
            self._kept += chunk

    def on_connection_close(self) -> None:
        """Nobody waits any more for what will not come; a socket's own class would let us wait."""
        self._gone()
        super().on_connection_close()

    def _check_announced(self) -> None:
        announced = announced_bytes(self.request.headers)
        if announced is not None and announced > self.most_bytes:
            raise RefusedRequest(TooLarge(self.most_bytes, announced))
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RefusedRequest(UnsupportedBody("send the body as it is, without a Content-Encoding"))

    def _is_cut_off(self) -> bool:
        """Whether the client asked before it sends its body, or is going to send more than is worth waiting for."""
        return "Expect" in self.request.headers or (announced_bytes(self.request.headers) or 0) > DROPPED_BYTES

    async def _arrived(self) -> None:
        """Let tornado go on from the headers to the body, as it does by itself after `prepare`, and wait for it."""
        self.request.connection.set_max_body_size(max(DROPPED_BYTES, self.most_bytes))  # type: ignore[union-attr]
        prepared, self._prepared_future = self._prepared_future, None
        assert prepared is not None
        prepared.set_result(None)
        try:
            await self.request._body_future
        except StreamClosedError:
            self.set_status(400)
            raise Finish from None
        self.is_read = True

    def _gone(self) -> None:
        if not self.request._body_future.done():
            self.request._body_future.set_exception(StreamClosedError())
            self.request._body_future.exception()


def announced_bytes(headers: HTTPHeaders) -> int | None:
    """How long a request's body is going to be; None where that is not said."""
    if "Transfer-Encoding" in headers:
        return None
    told = headers.get("Content-Length", "0")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else None  # else tornado refuses it
