"""The bases of every handler of ours: nobody gets past `prepare` without being known, and refusals say why.

`FleetHandler` is for REST verbs, `FleetSocket` for WebSockets. Both work with any identity provider of the server, and
answer 401 with `WWW-Authenticate` where the server's own handlers would redirect to a login page or say 403. Every
error is JSON, also one that the server raises before a verb of ours runs: its own pages hold its token.
"""

from __future__ import annotations

import contextlib
import json
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth import User
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler

from fleet_rlm.server.auth.body import Bounded
from fleet_rlm.server.auth.credentials import SUBPROTOCOL, is_websocket
from fleet_rlm.server.auth.failures import FAILURES, Failures, TooManyFailures, shown
from fleet_rlm.server.auth.identity import Identity, identity_of
from fleet_rlm.server.auth.refusals import AuthUnavailable, Forbidden, InvalidToken, NoWebSocket, Refusal, refusal_of
from fleet_rlm.server.auth.refused import RefusedRequest

if TYPE_CHECKING:
    _Handler = JupyterHandler
else:
    _Handler = object  # a mixin: in a socket the server's own mixin comes in between


ORIGIN = "pages of this origin may not call the server; its administrator may allow them by ServerApp.allow_origin"
XSRF = "a page sends the value of its cookie _xsrf as the header X-XSRFToken; a program sends a token, and no cookie"
WRONG_TOKEN = "the token is wrong: it is not the one of this server, or not any more"


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


class Guarded(Bounded, Ours):
    """Authentication before anything else, for handlers of either kind."""

    @property
    def identity(self) -> Identity:
        """Who owns what this request makes."""
        return identity_of(self)

    async def admit(self, **options: Any) -> None:
        """Find out who it is, then go on as the server does.

        Raises:
            RefusedRequest: nobody is known and the verb is not public, or a page of another origin asks.
        """
        if self.check_host():  # else the server's own `prepare` refuses
            self.current_user = self._jupyter_current_user = None
            user = await self._known()
            self.current_user = self._jupyter_current_user = user
            if user is None and not self._public():
                raise RefusedRequest(self._refusal())
            if not isinstance(self, WebSocketHandler) and not self.check_origin():  # a socket's `get` checks its own
                raise RefusedRequest(Forbidden("origin_forbidden", ORIGIN))
        await super().admit(**options)

    async def _known(self) -> User | None:
        """Who it is, for the identity provider; and how often whoever it is was not.

        Raises:
            RefusedRequest: too many sign-ins have failed here.
        """
        provider, failures, secret = self.identity_provider, self.settings.get(FAILURES), shown(self.request)
        if not isinstance(failures, Failures) or secret is None:
            return await ensure_async(provider.get_user(self))
        address = self.request.remote_ip or ""
        try:
            if getattr(provider, "is_guessable", True):
                failures.check(address, secret)
            user = await ensure_async(provider.get_user(self))
            refusal = self._refusal()
            if user is not None:
                failures.passed(secret)
            elif not isinstance(refusal, AuthUnavailable):
                if failures.tell is not None and getattr(provider, "audit", None) is None:
                    failures.tell("refused", {"ip": address, "code": refusal.code})
                failures.failed(address, secret, refusal.account)
        except TooManyFailures as too_many:
            if self._public():
                return None
            raise RefusedRequest(too_many) from None
        return user

    def _refusal(self) -> Refusal:
        """Why nobody is known."""
        if getattr(self, "_fleet_refusal", None) is None and self.identity_provider.get_token(self):
            return InvalidToken(WRONG_TOKEN)
        return refusal_of(self)

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """A part of the address as text.

        Raises:
            HTTPError: it is none; tornado's own words would show its bytes, also of a token.
        """
        with contextlib.suppress(UnicodeDecodeError):
            if "\0" not in (text := value.decode()):
                return text
        what = name or "the address"
        raise HTTPError(400, f"{what} is no text here: write it as UTF-8, percent-encoded, without NUL")

    def check_xsrf_cookie(self) -> None:
        """A page that is signed in by a cookie proves that the request is its own.

        Raises:
            HTTPError: it does not; the server's own words do not say how.
        """
        try:
            super().check_xsrf_cookie()
        except HTTPError as error:
            raise HTTPError(403, XSRF) from error

    def _public(self) -> bool:
        verb = getattr(self, (self.request.method or "").lower(), None)
        return getattr(verb, "__allow_unauthenticated", False) is True

    def explained(self, error: BaseException | None, status: int) -> tuple[int, str, str]:
        """Status, code and sentence for whoever asked."""
        if isinstance(error, RefusedRequest):
            return status, error.refusal.code, str(error.refusal)
        said = error.get_message() if isinstance(error, HTTPError) else None
        return status, _named(status), said or _SAID.get(status, "something failed here; the server's log says what")

    def write_error(self, status_code: int, **details: Any) -> None:
        """Every error as JSON, with the headers that belong to it."""
        error = (details.get("exc_info") or (None, None))[1]
        status, code, message = self.explained(error, status_code)
        self.set_status(status)
        refusal = error.refusal if isinstance(error, RefusedRequest) else None
        challenge = refusal.challenge() if refusal is not None else None
        if challenge is not None:
            self.set_header("WWW-Authenticate", challenge)
        retry_after = getattr(refusal or error, "retry_after", None) or (2 if status == 503 else None)
        if retry_after is not None:
            self.set_header("Retry-After", str(retry_after))
        if isinstance(refusal, NoWebSocket):
            self.set_header("Upgrade", "websocket")
            self.set_header("Sec-WebSocket-Version", "13")
        if not self.is_read:
            self.set_header("Connection", "close")
        if status == 405:
            self.set_header("Allow", ", ".join([*verbs_of(type(self)), "OPTIONS"]))
        self.set_header("Content-Type", "application/json")
        self.finish(self.worded(code, message))

    def worded(self, code: str, message: str) -> str:
        """The body of an error."""
        return json.dumps({"code": code, "message": message})


@stream_request_body
class FleetHandler(Guarded, APIHandler):
    """A REST handler; mark each verb with `authorized`."""


@stream_request_body
class FleetSocket(Guarded, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A WebSocket handler; mark its `get` with `authorized`, which is where the connection is decided.

    A page's origin is checked however the socket was signed in, and the server closes it when its proof ends.
    """

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open it.

        Raises:
            RefusedRequest: nothing that is asked here is a WebSocket, or a page of another origin asks.
        """
        headers = self.request.headers
        named = [one.strip().lower() for one in headers.get("Connection", "").split(",")]
        if not is_websocket(self.request) or "upgrade" not in named or not headers.get("Sec-WebSocket-Key"):
            raise RefusedRequest(NoWebSocket())
        if headers.get("Sec-WebSocket-Version") != "13":
            raise RefusedRequest(NoWebSocket())
        origin = headers.get("Origin")
        if origin is not None and not self.check_origin(origin):  # tornado would say so in plain text
            raise RefusedRequest(Forbidden("origin_forbidden", ORIGIN))
        await super().get(*args, **kwargs)

    def skip_check_origin(self) -> bool:
        """Never: a page of another origin is refused even with a good token."""
        return False

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """`v1.fleet` where it is offered; a bearer token offered beside it is never echoed."""
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None


_SAID = {
    403: "this address may not be asked for here, or not like this; ask at the server's own address",
    405: "this address has no such verb; fleet/openapi.json lists those there are",
}
"""Of refusals that the server makes before us, without a word."""


def _named(status: int) -> str:
    names = {400: "bad_request", 403: "permission_denied", 404: "not_found", 405: "method_not_allowed"}
    return names.get(status, "internal_error" if status >= 500 else "bad_request")


def verbs_of(handler: type[RequestHandler]) -> list[str]:
    """The verbs a class answers; OPTIONS is the server's own, tells only which verbs there are, and stays public."""
    if issubclass(handler, WebSocketHandler):
        return ["GET"]
    unimplemented = RequestHandler._unimplemented_method
    verbs = (verb for verb in handler.SUPPORTED_METHODS if verb != "OPTIONS")
    return [verb for verb in verbs if getattr(handler, verb.lower()) is not unimplemented]
