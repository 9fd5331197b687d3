"""What a request presents to prove who sends it: exactly one thing, read from where each may be and nowhere else.

| credential | where | for |
|---|---|---|
| bearer token | `Authorization: Bearer ...` | programs |
| bearer token | WebSocket subprotocol `v1.fleet.bearer.<token>` beside `v1.fleet` | pages, which cannot set headers |
| ticket | `?auth_ticket=` of a WebSocket | pages; one use, half a minute |
| sign-in | cookie | browsers |

The more explicit one decides alone: a wrong bearer token is not rescued by a good cookie. A token in a URL is not read,
because URLs are logged. `auth_ticket` is, and is named so that the server's own log hides its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tornado.httputil import HTTPServerRequest

from fleet_rlm.server.auth.refusals import InvalidToken

SUBPROTOCOL = "v1.fleet"
BEARER_SUBPROTOCOL = "v1.fleet.bearer."
TICKET = "auth_ticket"

Kind = Literal["header", "subprotocol", "ticket", "cookie"]


@dataclass(frozen=True)
class Credential:
    """One thing presented; its value is never logged nor repeated."""

    kind: Kind
    value: str

    def __repr__(self) -> str:
        return f"Credential({self.kind})"


def presented(request: HTTPServerRequest, cookie_name: str, *, opens_socket: bool) -> Credential | None:
    """The credential of a request; None when it has none.

    Args:
        opens_socket: whether what answers it is a WebSocket; that the request asks for one is no proof, and a ticket
            is not for reading what lies elsewhere.

    Raises:
        InvalidToken: there are several of a kind, or an Authorization header that is no bearer token.
    """
    headers = request.headers.get_list("Authorization")
    if headers:
        scheme, _, token = headers[0].partition(" ")
        if len(headers) > 1 or scheme.lower() != "bearer" or not token.strip():
            raise InvalidToken("send one Authorization header with one bearer token")
        return Credential("header", token.strip())
    if opens_socket and is_websocket(request):
        bearers = [one for one in offered_subprotocols(request) if one.startswith(BEARER_SUBPROTOCOL)]
        tickets = request.query_arguments.get(TICKET, [])
        if len(bearers) + len(tickets) > 1:
            raise InvalidToken("send one bearer token or one ticket")
        if bearers:
            return Credential("subprotocol", bearers[0].removeprefix(BEARER_SUBPROTOCOL))
        if tickets:
            return Credential("ticket", tickets[0].decode("latin-1"))
    cookie = request.cookies.get(cookie_name)
    return Credential("cookie", cookie.value) if cookie is not None else None


def is_websocket(request: HTTPServerRequest) -> bool:
    """Whether the request opens a WebSocket."""
    return request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket"


def offered_subprotocols(request: HTTPServerRequest) -> list[str]:
    """The subprotocols a WebSocket client offers."""
    return [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if one.strip()]
