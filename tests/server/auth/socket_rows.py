"""WebSockets: a page cannot set headers on one, and no browser keeps another origin's page from opening it."""

from __future__ import annotations

import time
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.server.auth.row import BAD, NO_ROLE, NOTHING, Row
from tests.server.auth.world import DRIVE, STRANGER, TICKET, WATCH, World, all_alike

OWN, BEARER = "v1.fleet", "v1.fleet.bearer."
FOREIGN = "403 origin_forbidden"


def offered(world: World, token: str, **options: str) -> str:
    return world.socket(subprotocols=[OWN, BEARER + token], **options)


def with_ticket(world: World, *paths: str, **options: str) -> str:
    """One ticket for the first path, used on each in turn."""
    value = world.ticket()
    return "; then ".join(world.socket(path, query={"auth_ticket": value}, **options) for path in paths)


def misdirected(world: World) -> str:
    """A ticket is asked for with something else than the path of one of our sockets."""
    below = (
        "api/v1/runs",
        "api/v1/ws/execution/",
        "api/v1/ws/execution?run=x",
        "api/v1/ws/../runs",
        "",
        "oauth/callback",
    )
    paths = ["/api/kernels/1/channels", "/user/ada/lab", DRIVE, *(f"/user/ada/fleet/{one}" for one in below)]
    return all_alike(world.api(world.token(), "POST", TICKET, json={"path": path}) for path in paths)


def unasked(world: World) -> str:
    """What is asked for is no request for a ticket."""
    bodies: list[Any] = [
        {"path": 1},
        {"path": None},
        {},
        [],
        None,
        {"path": "/x" * 2_000},
        {"path": DRIVE, "user": "x"},
    ]
    return all_alike(world.api(world.token(), "POST", TICKET, json=body) for body in bodies)


def ticket_off_its_path(world: World) -> str:
    """The words of a WebSocket's handshake, said to what is none."""
    shaken = {
        **{"Upgrade": "websocket", "Connection": "Upgrade"},
        **{"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13"},
    }
    return world.api(params={"auth_ticket": world.ticket()}, headers=shaken)


def bearer_off_its_path(world: World) -> str:
    """A bearer as a subprotocol, said to what is no WebSocket."""
    return world.api(
        headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Protocol": BEARER + world.token()}
    )


def guessed(world: World) -> str:
    return all_alike(world.socket(query={"auth_ticket": one}) for one in ("", "x" * 43, "é"))


def own_origin(world: World) -> str:
    return f"http://{world.server.host}"


def of_reader(world: World) -> str:
    """A ticket carries its user's roles, no more."""
    return world.socket(query={"auth_ticket": world.ticket(world.token(roles=["Fleet.Read"]))})


def of_ended(world: World) -> str:
    return world.socket(query={"auth_ticket": world.ticket(world.token(exp=int(time.time()) - 20))})


def ticket_asked_by_browser(world: World) -> str:
    """By a sign-in, without the XSRF token a page of ours would send."""
    headers = world.sign_in().header
    return world.api(None, "POST", TICKET, headers=headers, json={"path": DRIVE})


def outlived(world: World, path: str = DRIVE, **changes: Any) -> str:
    token = world.token(exp=int(time.time()) + 3, **changes)
    headers = {"Authorization": f"Bearer {token}"}
    with connect(world.server.websocket + path, additional_headers=headers, proxy=None) as opened:
        opened.recv(timeout=10)
        try:
            opened.recv(timeout=10)
        except ConnectionClosed as error:
            return f"open, then closed {error.rcvd.code if error.rcvd else 'without a word'}"
    return "open"


SOCKETS = [
    Row("nothing", NOTHING, lambda w: w.socket()),
    Row("bearer in the header", "open", lambda w: w.socket(token=w.token())),
    Row("bearer as a subprotocol; only `v1.fleet` is echoed", "open v1.fleet", lambda w: offered(w, w.token())),
    Row("wrong bearer as a subprotocol", BAD, lambda w: offered(w, w.token(aud="x"))),
    Row(
        "two bearers as subprotocols",
        BAD,
        lambda w: w.socket(subprotocols=[OWN, BEARER + w.token(), BEARER + w.token()]),
    ),
    Row(
        "token in the URL",
        NOTHING,
        lambda w: all_alike(w.socket(query={name: w.token()}) for name in ("token", "access_token")),
    ),
    Row("token in place of a ticket", BAD, lambda w: w.socket(query={"auth_ticket": w.token()})),
    Row("ticket, then the same again", f"open; then {BAD}", lambda w: with_ticket(w, DRIVE, DRIVE)),
    Row(
        "ticket for another path; it is used up by that",
        f"{BAD}; then {BAD}",
        lambda w: with_ticket(w, WATCH, DRIVE),
    ),
    Row("ticket for no path of ours", "400 bad_request", misdirected),
    Row("ticket asked for with something else", "422 invalid_request", unasked),
    Row("guessed tickets", BAD, guessed),
    Row("ticket of a user whose token has ended", BAD, of_ended),
    Row("ticket of somebody who may only read", NO_ROLE, of_reader),
    Row(
        "ticket and bearer at once",
        BAD,
        lambda w: w.socket(subprotocols=[OWN, BEARER + w.token()], query={"auth_ticket": w.ticket()}),
    ),
    Row("ticket on a REST route", NOTHING, lambda w: w.api(params={"auth_ticket": w.ticket()})),
    Row("ticket on a REST route, asked as if it were a WebSocket", NOTHING, ticket_off_its_path),
    Row("bearer as a subprotocol on a REST route, asked as if it were a WebSocket", NOTHING, bearer_off_its_path),
    Row("ticket asked for by a browser without an XSRF token", "403 permission_denied", ticket_asked_by_browser),
    Row("sign-in, from our own page", "open", lambda w: w.socket(headers=w.sign_in().header, origin=own_origin(w))),
    Row(
        "sign-in, from a page of another origin",
        FOREIGN,
        lambda w: w.socket(headers=w.sign_in().header, origin=STRANGER),
    ),
    Row(
        "sign-in, from a page without an origin (`null`)",
        FOREIGN,
        lambda w: w.socket(headers=w.sign_in().header, origin="null"),
    ),
    Row(
        "bearer in the header, from a page of another origin",
        FOREIGN,
        lambda w: w.socket(token=w.token(), origin=STRANGER),
    ),
    Row(
        "bearer as a subprotocol, from a page of another origin",
        FOREIGN,
        lambda w: offered(w, w.token(), origin=STRANGER),
    ),
    Row("ticket, from a page of another origin", FOREIGN, lambda w: with_ticket(w, DRIVE, origin=STRANGER)),
    Row("Fleet.Read drives", NO_ROLE, lambda w: w.socket(token=w.token(roles=["Fleet.Read"]))),
    Row("Fleet.Read watches", "open", lambda w: w.socket(WATCH, token=w.token(roles=["Fleet.Read"]))),
    Row("token that ended 30 s ago", BAD, lambda w: w.socket(token=w.token(exp=int(time.time()) - 30))),
    Row("token that ends while the socket is open", "open, then closed 4401", outlived),
    Row(
        "a kernel's socket without its role",
        "403",
        lambda w: w.socket(
            "/api/kernels/00000000-0000-4000-8000-000000000000/channels", token=w.token(roles=["Fleet.Admin"])
        ),
    ),
    Row(
        "another extension's socket that asks for a sign-in only",
        "403",
        lambda w: w.socket("/other/socket", token=w.token(roles=["Fleet.Admin"])),
    ),
    Row(
        "the same with the core role; closed when the token ends, too",
        "open, then closed 4401",
        lambda w: outlived(w, "/other/socket", roles=["Jupyter.Use"]),
    ),
    Row(
        "the server's events without the core role",
        "403",
        lambda w: w.socket("/api/events/subscribe", token=w.token(roles=["Fleet.Admin"])),
    ),
]
