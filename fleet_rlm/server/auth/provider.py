"""Tells a Jupyter server who each request comes from, by Entra ID alone.

`get_user` is replaced whole, because the base class turns any token it accepts into a login cookie of thirty days,
reads tokens from URLs, and lets token requests of any origin through. Here a bearer token counts for one request, a
browser's sign-in for as long as its token, a ticket for one WebSocket; and the server's own token is off.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_server.auth import IdentityProvider, User
from jupyter_server.services.api.handlers import IdentityHandler
from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler
from traitlets import List, default

from fleet_rlm.server.auth.codeflow import CodeFlow
from fleet_rlm.server.auth.credentials import Credential, is_websocket, presented
from fleet_rlm.server.auth.deployment import Deployment, Entra
from fleet_rlm.server.auth.guard import Ours
from fleet_rlm.server.auth.keys import KeyCache
from fleet_rlm.server.auth.policy import enforce
from fleet_rlm.server.auth.refusals import Forbidden, InvalidToken, Refusal, note_refusal
from fleet_rlm.server.auth.signins import SignIns, Tickets
from fleet_rlm.server.auth.user import EntraUser
from fleet_rlm.server.auth.verifier import Verifier
from fleet_rlm.server.auth.watch import watch

ADMITTED_S = 60  # how long an answer of the store about a user is used again
ADMITTED = 10_000
HOST_ONLY: dict[str, Any] = {"path": "/", "secure": True, "httponly": True, "samesite": "Lax"}  # what __Host- asks for

Admission = Callable[[EntraUser], Awaitable[bool]]
Audit = Callable[[str, dict[str, str]], None]


class EntraIdentityProvider(IdentityProvider):
    """Users of Entra ID: bearer tokens of programs, sign-ins of browsers, tickets of WebSockets.

    Attributes:
        deployment: the ENTRA_ variables and the rest.
        admission: asked, at most once a minute for each user, whether their tenant is admitted; the store sets it.
            It raises `AuthUnavailable` where it cannot tell. Without one ENTRA_TENANTS decides, and `*` admits none.
        audit: told ("sign_in" | "sign_out" | "refused", facts) of each; facts hold ids and codes, never a token.
    """

    is_guessable = False
    """Whether trying many tokens could find a right one; these are signed."""

    updatable_fields: List[Any] = List([], help="None: names come from Entra.")

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.deployment = Deployment.from_environ({**os.environ, "AUTH_MODE": "entra"})
        assert self.deployment.entra is not None
        self.entra: Entra = self.deployment.entra
        self.admission: Admission | None = None
        self.audit: Audit | None = None
        self.sign_ins: SignIns[EntraUser] = SignIns()
        self.tickets: Tickets[EntraUser] = Tickets()
        self.keys = KeyCache(self.entra.metadata_url)
        self.verifier = Verifier(self.entra, self.keys)
        self.flow = CodeFlow(self.entra, self.keys, self.verifier)
        self._admitted: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    @default("token")
    def _no_server_token(self) -> str:
        return ""

    @default("need_token")
    def _need_no_server_token(self) -> bool:
        return False

    async def get_user(self, handler: RequestHandler) -> EntraUser | None:
        """Who sent the request; None, with the refusal noted on the handler, where that is not proven."""
        known = getattr(handler, "_jupyter_current_user", None)
        if isinstance(known, EntraUser):
            return known
        opens_socket = isinstance(handler, WebSocketHandler) and is_websocket(handler.request)
        try:
            credential = presented(handler.request, self.get_cookie_name(handler), opens_socket=opens_socket)
            if credential is None:
                return None
            user = await self._proven(handler, credential)
            await self.admit(user)
            if opens_socket and user.exp <= time.time():
                raise InvalidToken("the token has expired")  # differing clocks excuse a request, not a connection
        except Refusal as refusal:
            note_refusal(handler, refusal)
            self.record("refused", handler, code=refusal.code)
            return None
        if not isinstance(handler, Ours | IdentityHandler) and self.entra.core_role not in user.roles:
            self._keep_outside(handler, user)
            return None
        if opens_socket and isinstance(handler, WebSocketHandler):
            watch(handler, user.exp, functools.partial(self._still, user, credential))
        return user

    async def bearer(self, token: str) -> EntraUser:
        """Who a bearer of this access token is.

        Raises:
            Refusal: they are not let in.
        """
        return EntraUser.of(await self.verifier.access_token(token))

    async def admit(self, user: EntraUser) -> None:
        """Let users of admitted tenants pass.

        Raises:
            Forbidden: theirs is not.
        """
        admitted, until = self._admitted.get(user.username, (False, 0.0))
        if until <= time.monotonic():
            admitted = self.entra.tenants is not None if self.admission is None else await self.admission(user)
            if len(self._admitted) >= ADMITTED:
                self._admitted.popitem(last=False)
            self._admitted[user.username] = (admitted, time.monotonic() + ADMITTED_S)
        if not admitted:
            refusal = Forbidden("tenant_forbidden", "this organisation is not admitted here")
            refusal.account = user.username
            raise refusal

    async def _proven(self, handler: RequestHandler, credential: Credential) -> EntraUser:
        if credential.kind == "ticket":
            holder = self.tickets.redeem(credential.value, handler.request.path)
            if holder is None:
                raise InvalidToken("the ticket was used, has expired, or is for another address")
            return holder
        if credential.kind == "cookie":
            signed_in = self.sign_ins.user(credential.value)
            if signed_in is None:
                raise InvalidToken("the sign-in has ended; sign in again")
            return signed_in
        user = await self.bearer(credential.value)
        # No browser adds an Authorization header by itself, so such requests need no XSRF token; all others do.
        handler._token_authenticated = credential.kind == "header"  # type: ignore[attr-defined]
        return user

    def _keep_outside(self, handler: RequestHandler, user: EntraUser) -> None:
        """Keep somebody without the core role from what is not ours: many extensions ask for a sign-in and no more.

        Raises:
            HTTPError: unless it is open to anybody, for whom they are nobody.
        """
        verb = getattr(handler, (handler.request.method or "").lower(), None)
        if getattr(verb, "__allow_unauthenticated", False) is not True:
            handler.current_user = handler._jupyter_current_user = user  # type: ignore[attr-defined]  # for error pages
            raise HTTPError(403, f"the Jupyter server itself is open to the role {self.entra.core_role} only")

    async def _still(self, user: EntraUser, credential: Credential) -> bool:
        """Whether what opened a WebSocket is still good."""
        if credential.kind == "cookie" and self.sign_ins.user(credential.value) is None:
            return False
        try:
            await self.admit(user)
        except Forbidden:
            return False
        except Refusal:
            return True  # the store cannot tell now; the token's own end still holds
        return True

    def should_check_origin(self, handler: RequestHandler) -> bool:
        """Always: a page of another origin needs the administrator's word, whatever it presents."""
        return True

    def is_token_authenticated(self, handler: RequestHandler) -> bool:
        """Whether the request proved itself by a header that no browser sends on its own."""
        return bool(getattr(handler, "_token_authenticated", False))

    def identity_model(self, user: User) -> dict[str, Any]:
        """What /api/me tells of a user: names for display, neither roles nor claims."""
        shown = ("username", "name", "display_name", "initials", "avatar_url", "color")
        return {name: getattr(user, name) for name in shown}

    def get_handlers(self) -> list[tuple[str, object]]:
        """Sign-in, its return address, sign-out, and tickets."""
        from fleet_rlm.server.auth import pages

        return list(pages.ROUTES)

    def get_token(self, handler: RequestHandler) -> str | None:
        """None: the server's own token is off, and no token is read from a URL."""
        return None

    async def get_user_token(self, handler: RequestHandler) -> User | None:
        """None, for the same reason."""
        return None

    def get_user_cookie(self, handler: RequestHandler) -> User | None:
        """None: no cookie of the server's own counts."""
        return None

    def process_login_form(self, handler: RequestHandler) -> User | None:
        """None: there is no password."""
        return None

    def get_cookie_name(self, handler: RequestHandler) -> str:
        """The sign-in cookie's name, told apart by address because cookies are not told apart by port."""
        base = handler.settings.get("base_url", "/")
        mark = hashlib.sha256(f"{handler.request.host}{base}".encode()).hexdigest()[:8]
        return f"__Host-fleet-{mark}"

    def set_login_cookie(self, handler: RequestHandler, user: User) -> None:
        """Begin a browser's sign-in, as long as its token.

        Raises:
            HTTPError: the user is none of Entra's.
        """
        if not isinstance(user, EntraUser):
            raise HTTPError(403)
        lasting = max(0, user.exp - int(time.time()))
        handler.set_cookie(self.get_cookie_name(handler), self.sign_ins.begin(user), max_age=lasting, **HOST_ONLY)

    def clear_login_cookie(self, handler: RequestHandler) -> None:
        """End the browser's sign-in, on the server and in the browser."""
        name = self.get_cookie_name(handler)
        self.sign_ins.end(handler.get_cookie(name) or "")
        handler.clear_cookie(name, **HOST_ONLY)

    def record(self, what: str, handler: RequestHandler, user: EntraUser | None = None, code: str = "") -> None:
        """Tell the audit and the log."""
        facts = {"ip": handler.request.remote_ip or "", "path": handler.request.path, "code": code}
        if user is not None:
            facts.update(tid=user.tid, oid=user.oid, uti=user.uti, azp=user.azp)
        facts = {name: value for name, value in facts.items() if value}
        self.log.info("%s %s", what, " ".join(f"{name}={value}" for name, value in facts.items()))
        if self.audit is not None:
            self.audit(what, facts)

    def validate_security(self, app: Any, ssl_options: dict[str, Any] | None = None) -> None:
        """Refuse to start on an unsafe setting.

        Raises:
            SystemExit: naming each.
        """
        enforce(app, self.deployment)
