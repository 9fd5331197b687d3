"""The gateway's routes. Whoever calls is a kernel, known by its own token; people's sign-ins do not count here.

Errors have OpenAI's form, because OpenAI's clients read them.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from jupyter_server import CallContext
from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.iostream import StreamClosedError
from tornado.web import Finish, HTTPError

from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.lm.grants import BadToken, Grant
from fleet_rlm.server.services.lm.metering import UpstreamFailed
from fleet_rlm.server.services.lm.service import BODY_BYTES


class KernelHandler(Handler):
    """A handler for kernels. Its verbs are public to the server's identity provider and closed by `grant`."""

    _track_activity = False
    _task: asyncio.Task[Any] | None = None
    is_gone = False

    async def admit(self, **_: Any) -> None:
        """Ask for a kernel's token, and nobody who it is: to the identity provider it is a stranger's."""
        CallContext.set(CallContext.JUPYTER_HANDLER, self)
        self.current_user = self._jupyter_current_user = None
        if not self.check_host():
            raise HTTPError(403)
        self.grant  # noqa: B018 - raises where there is none

    def check_xsrf_cookie(self) -> None:
        """No browser sends the token by itself."""

    def set_default_headers(self) -> None:
        """No page of any origin is answered."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Request-Id", self.request_id)

    @property
    def grant(self) -> Grant:
        """The account of the kernel that calls.

        Raises:
            BadToken: it shows no token of a running kernel.
        """
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise BadToken("send the kernel's token in the Authorization header")
        return self.house.gateway.grants.find(token.strip())

    def on_connection_close(self) -> None:
        """A kernel that hangs up wants no answer any more, and the provider need not finish it."""
        self.is_gone = True
        if self._task is not None:
            self._task.cancel()
        super().on_connection_close()

    def write_error(self, status_code: int, **details: Any) -> None:
        """With the headers that OpenAI's clients look for."""
        status, code, _ = self.explained((details.get("exc_info") or (None, None))[1], status_code)
        if code == "quota_exceeded":
            self.set_header("X-Should-Retry", "false")
        if status == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        super().write_error(status_code, **details)

    def worded(self, code: str, message: str) -> str:
        """As OpenAI would write it."""
        return json.dumps({"error": {"message": message, "type": code, "code": code, "param": None}})


class ChatCompletions(KernelHandler):
    """Chat completions, whole or streamed."""

    most_bytes = BODY_BYTES

    @allow_unauthenticated
    async def post(self) -> None:
        """Pass one on."""
        self._task = asyncio.current_task()
        grant = self.grant
        self.house.rates.take(grant.owner, "lm")
        try:
            await self._pass_on(grant)
        except asyncio.CancelledError:
            if self.is_gone:  # tornado would answer nobody, and log that it cannot
                raise Finish from None
            raise

    async def _pass_on(self, grant: Grant) -> None:
        async with self.house.gateway.chat(grant, self.request.body) as passed:
            self.set_status(passed.status)
            self.set_header("Content-Type", passed.content_type)
            if passed.retry_after is not None:
                self.set_header("Retry-After", passed.retry_after)
            try:
                async for piece in passed.body:
                    self.write(piece)
                    if passed.content_type.startswith("text/event-stream"):
                        await self.flush()
            except StreamClosedError:
                return
            except UpstreamFailed as fault:
                if not self._headers_written:
                    raise
                self._break_off(fault)
        self.finish(set_content_type=passed.content_type)

    def _break_off(self, fault: UpstreamFailed) -> NoReturn:
        """End a stream as its provider did, so that nobody takes what came of it for a whole answer.

        Raises:
            Finish: always.
        """
        self.log.warning("%s %s: %s", self.request.method, self.request.path, fault)
        connection: Any = self.request.connection
        connection.close()  # without the end that a whole answer has
        raise Finish


class ModelsList(KernelHandler):
    """The models a kernel may call."""

    @allow_unauthenticated
    async def get(self) -> None:
        """List them."""
        names = self.house.gateway.models.known
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "fleet"} for name in names]
        self.finish(json.dumps({"object": "list", "data": listed}))


ROUTES: list[tuple[str, type[Any]]] = [
    (r"/fleet/api/v1/lm/chat/completions", ChatCompletions),
    (r"/fleet/api/v1/lm/models", ModelsList),
]

PUBLIC = frozenset(pattern for pattern, _ in ROUTES)
"""Open to everybody as far as the server's identity provider is asked; closed by a kernel's token."""
