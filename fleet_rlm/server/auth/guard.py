"""The bases of every handler of ours: nobody gets past `prepare` without being known, and refusals say why.

`FleetHandler` is for REST verbs, `FleetSocket` for WebSockets. Both work with any identity provider of the server, and
answer 401 with `WWW-Authenticate` where the server's own handlers would redirect to a login page or say 403.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketHandler

from fleet_rlm.server.auth.credentials import SUBPROTOCOL
from fleet_rlm.server.auth.identity import Identity, identity_of
from fleet_rlm.server.auth.refusals import AuthUnavailable, Forbidden, refusal_of
from fleet_rlm.server.auth.refused import RefusedRequest

if TYPE_CHECKING:
    _Handler = JupyterHandler
else:
    _Handler = object  # a mixin: in a socket the server's own mixin comes in between


class Ours(_Handler):
    """Any handler of ours. Errors are logged without the query, which tornado would write out in full."""

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log the verb and the path."""
        where = f"{self.request.method} {self.request.path}"
        if isinstance(value, RefusedRequest):
            self.log.debug("%s refused: %s", where, value.refusal.code)
        elif isinstance(value, Exception) and not hasattr(value, "status_code"):
            self.log.error("%s failed", where, exc_info=(type(value), value, tb))
        else:
            self.log.warning("%s: %s", where, value)


class Guarded(Ours):
    """Authentication before anything else, for handlers of either kind."""

    @property
    def identity(self) -> Identity:
        """Who owns what this request makes."""
        return identity_of(self)

    async def prepare(self, **options: Any) -> None:
        """Find out who it is, then go on as the server does.

        Raises:
            RefusedRequest: nobody is known and the verb is not public, or a page of another origin asks.
        """
        if self.check_host():  # else the server's own `prepare` refuses
            self.current_user = self._jupyter_current_user = None
            user = await ensure_async(self.identity_provider.get_user(self))
            self.current_user = self._jupyter_current_user = user
            if user is None and not self._public():
                raise RefusedRequest(refusal_of(self))
            if not isinstance(self, WebSocketHandler) and not self.check_origin():  # a socket's `get` checks its own
                raise RefusedRequest(Forbidden("origin_forbidden", "pages of this origin may not call the server"))
        await super().prepare(**options)

    def _public(self) -> bool:
        verb = getattr(self, (self.request.method or "").lower(), None)
        return getattr(verb, "__allow_unauthenticated", False) is True

    def write_error(self, status_code: int, **details: Any) -> None:
        """Refusals as JSON with their code; other errors as the server writes them."""
        error = (details.get("exc_info") or (None, None))[1]
        if not isinstance(error, RefusedRequest):
            super().write_error(status_code, **details)
            return
        refusal = error.refusal
        challenge = refusal.challenge()
        if challenge is not None:
            self.set_header("WWW-Authenticate", challenge)
        if isinstance(refusal, AuthUnavailable):
            self.set_header("Retry-After", str(refusal.retry_after))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"message": str(refusal), "reason": self._reason, "code": refusal.code}))


class FleetHandler(Guarded, APIHandler):
    """A REST handler; mark each verb with `authorized`."""


class FleetSocket(Guarded, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A WebSocket handler; mark its `get` with `authorized`, which is where the connection is decided.

    A page's origin is checked however the socket was signed in, and the server closes it when its proof ends.
    """

    def skip_check_origin(self) -> bool:
        """Never: a page of another origin is refused even with a good token."""
        return False

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """`v1.fleet` where it is offered; a bearer token offered beside it is never echoed."""
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None
