"""What a browser meets on its way in and out."""

from __future__ import annotations

import hmac
import re
from typing import Any, cast
from urllib.parse import urlsplit

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import HTTPError

from fleet_rlm.server.auth import ticket
from fleet_rlm.server.auth.codeflow import Begun
from fleet_rlm.server.auth.failures import FAILURES, Failures, TooManyFailures
from fleet_rlm.server.auth.guard import Ours
from fleet_rlm.server.auth.provider import HOST_ONLY, EntraIdentityProvider
from fleet_rlm.server.auth.refusals import AuthUnavailable, InvalidToken, Refusal
from fleet_rlm.server.auth.user import EntraUser

CALLBACK = "/fleet/oauth/callback"
SIGN_IN_DAYS = 10 / (24 * 60)  # ten minutes to finish a sign-in
PATH_CHARS = 1_000  # a cookie that is longer than 4,096 signs is none to a browser, and the sign-in could not end
STATE = re.compile(r"[A-Za-z0-9_-]{20,100}")


class _Page(Ours, JupyterHandler):
    """A page of the sign-in, never cached, framed, or told to other sites."""

    retry_after: int | None = None

    @property
    def provider(self) -> EntraIdentityProvider:
        """The identity provider that serves these pages."""
        return cast(EntraIdentityProvider, self.identity_provider)

    def set_default_headers(self) -> None:
        """Headers of every answer, errors too."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")

    def callback(self) -> str:
        """The return address registered with Entra."""
        public = self.provider.deployment.public_url
        own = f"{self.request.protocol}://{self.request.host}{self.base_url}".rstrip("/")
        return (public or own) + CALLBACK

    def flow_cookie(self, state: str) -> str:
        """The cookie of one sign-in under way; two tabs may each have theirs."""
        return f"__Host-fleet-begun-{state[:12]}"

    def inside(self, path: str) -> str:
        """The path, if it leads into this server, else its start page; what the query brings could be any address."""
        plain = path.startswith(self.base_url) and not path.startswith("//") and "\\" not in path and path.isprintable()
        return path if plain and len(path) <= PATH_CHARS and not urlsplit(path).netloc else self.base_url

    def refuse(self, refusal: Refusal) -> HTTPError:
        """The refusal, recorded, as tornado raises it; another one where too many sign-ins have failed here."""
        self.provider.record("refused", self, code=refusal.code)
        failures = self.settings.get(FAILURES)
        if isinstance(failures, Failures) and not isinstance(refusal, AuthUnavailable):
            try:
                failures.failed(self.request.remote_ip or "", self.request.query, refusal.account)
            except TooManyFailures as too_many:
                self.retry_after = too_many.retry_after
                refusal = too_many
        return HTTPError(refusal.status, str(refusal))

    def write_error(self, status_code: int, **details: Any) -> None:
        """As the server's pages tell it, and when to come back."""
        if self.retry_after is not None:
            self.set_header("Retry-After", str(self.retry_after))
        super().write_error(status_code, **details)


class SignIn(_Page):
    """Sends the browser to Entra."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Begin a sign-in; `next` is the path to go to afterwards."""
        begun = Begun.new(self.inside(self.get_query_argument("next", self.base_url)))
        try:
            address = await self.provider.flow.address(begun, self.callback())
        except Refusal as refusal:
            raise self.refuse(refusal) from refusal
        name, lasting = self.flow_cookie(begun.state), int(SIGN_IN_DAYS * 86_400)
        self.set_signed_cookie(name, begun.write(), expires_days=None, max_age=lasting, **HOST_ONLY)
        self.redirect(address)


class SignInReturn(_Page):
    """Where Entra sends the browser back to."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Finish the sign-in this browser began, and only that."""
        state, code = self.get_query_argument("state", ""), self.get_query_argument("code", "")
        begun = self._begun(state)
        if begun is None:
            raise self.refuse(InvalidToken("this sign-in was not begun in this browser, or took too long; begin again"))
        self.clear_cookie(self.flow_cookie(state), **HOST_ONLY)
        if not code:
            raise self.refuse(InvalidToken("the identity service did not sign you in"))
        try:
            user = EntraUser.of(await self.provider.flow.finish(begun, code, self.callback()))
            await self.provider.admit(user)
        except Refusal as refusal:
            raise self.refuse(refusal) from refusal
        self.provider.clear_login_cookie(self)  # an older sign-in of this browser ends
        self.provider.set_login_cookie(self, user)
        self.provider.record("sign_in", self, user)
        self.redirect(self.inside(begun.next))

    def _begun(self, state: str) -> Begun | None:
        if not STATE.fullmatch(state):
            return None
        kept = self.get_signed_cookie(self.flow_cookie(state), max_age_days=SIGN_IN_DAYS)
        begun = Begun.read(kept) if kept else None
        return begun if begun is not None and hmac.compare_digest(begun.state, state) else None


class SignOut(_Page):
    """Ends the browser's sign-in here; the one with Entra is Entra's."""

    @allow_unauthenticated
    def get(self) -> None:
        """Sign out, unless another site sent the browser here."""
        if self.request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise HTTPError(403, "sign out from the server's own pages")
        user = self.current_user
        self.provider.clear_login_cookie(self)
        if isinstance(user, EntraUser):
            self.provider.record("sign_out", self, user)
        page = self.render_template("logout.html", message={"info": "Signed out."})  # type: ignore[no-untyped-call]
        self.write(page)


ROUTES: list[tuple[str, object]] = [
    ("/login", SignIn),
    (CALLBACK, SignInReturn),
    ("/logout", SignOut),
    *ticket.ROUTES,
]
