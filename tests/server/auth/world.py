"""What the attack matrix has at hand: a server that trusts an issuer, keys of every kind, and clients of every kind.

Each client call tells its outcome in one short text: `200`, `401 invalid_token`, `open`, `403 origin_forbidden`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.server.auth.running import Running, running
from tests.twins.entra_issuer import MSA_TENANT, EntraIssuer, new_guid

RUNS, SETTINGS, TICKET = "/fleet/api/v1/runs", "/fleet/api/v1/runtime/settings", "/fleet/api/v1/auth/ws-ticket"
DRIVE, WATCH = "/fleet/api/v1/ws/execution", "/fleet/api/v1/ws/execution/events"
STRANGER = "https://stranger.example"
SCOPE = "access_as_user"


@dataclass
class Browser:
    """A browser's cookies for the server, kept by hand: they are marked for https, and the test server has none."""

    cookies: dict[str, str] = field(default_factory=dict)

    def take(self, response: httpx.Response) -> None:
        """Keep, replace and delete as the answer says."""
        for header in response.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                self.cookies[name] = morsel.value
                if not morsel.value:
                    del self.cookies[name]

    @property
    def header(self) -> dict[str, str]:
        """The Cookie header."""
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}


@dataclass
class World:
    """A server and everybody who calls it."""

    issuer: EntraIssuer
    server: Running
    audience: str
    tenant: str
    keys: dict[str, str]
    secrets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stranger_tenant = new_guid()
        self.kid = self.keys["good"]

    def token(self, kid: str | None = None, tid: str | None = None, **changes: Any) -> str:
        """A signed token of a member of the admitted tenant, valid but for the changes."""
        return self.kept(self.issuer.token(tid or self.tenant, self.audience, kid or self.kid, **changes))

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of such a token."""
        return self.issuer.claims(self.tenant, self.audience, **changes)

    def signed(self, claims: dict[str, Any], **headers: Any) -> str:
        """A token with those claims and headers."""
        return self.kept(self.issuer.sign(claims, self.kid, headers))

    def kept(self, secret: str) -> str:
        """The secret, remembered: it must appear in no log."""
        self.secrets.append(secret)
        return secret

    def request(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        """An HTTP request; redirects are not followed."""
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        target = path if path.startswith("http") else self.server.base + path
        with httpx.Client(trust_env=False, verify=False, timeout=20) as client:
            return client.request(method, target, headers=headers, **options)

    def api(self, token: str | None = None, method: str = "GET", path: str = RUNS, **options: Any) -> str:
        """The outcome of a request to the API."""
        return outcome(self.request(method, path, token, **options))

    def socket(
        self,
        path: str = DRIVE,
        *,
        token: str | None = None,
        subprotocols: Sequence[str] = (),
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
    ) -> str:
        """The outcome of opening a WebSocket."""
        extra = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token is not None else {})}
        target = self.server.websocket + path + (f"?{urlencode(query)}" if query else "")
        return socket_outcome(target, extra, subprotocols, origin)

    def ticket(self, token: str | None = None, path: str = DRIVE, **options: Any) -> str:
        """A one-time ticket for a WebSocket."""
        body = {"path": urlsplit(self.server.base).path + path}
        reply = self.request("POST", TICKET, token or self.token(), json=body, **options)
        return self.kept(reply.json()["ticket"])

    def begin_sign_in(self, browser: Browser, next_path: str = "") -> str:
        """Go to the login page and on to Entra; the address Entra sends the browser back to."""
        page = self.request("GET", "/login", params={"next": next_path} if next_path else {}, headers=browser.header)
        browser.take(page)
        return httpx.get(page.headers["location"], trust_env=False, verify=False).headers["location"]

    def sign_in(self, **person: Any) -> Browser:
        """A browser that went all the way."""
        browser = Browser()
        self.issuer.person = {"exp": int(time.time()) + 1_800, **person}
        back = self.begin_sign_in(browser)
        self.kept(dict(parse_qsl(urlsplit(back).query))["code"])
        done = self.request("GET", back, headers=browser.header)
        browser.take(done)
        assert done.status_code == 302, done.text
        self.request("GET", RUNS, headers=browser.header)
        for value in browser.cookies.values():
            self.kept(value)
        return browser


def all_alike(outcomes: Iterable[str]) -> str:
    """The outcome of several attempts that should end alike; each different one if they do not."""
    return " or ".join(sorted(set(outcomes)))


def socket_outcome(
    target: str, headers: Mapping[str, str], subprotocols: Sequence[str] = (), origin: str | None = None
) -> str:
    """The outcome of opening a WebSocket; what else the handshake chose or how the server ended it follows."""
    offered: Any = list(subprotocols) or None
    given: Any = origin
    try:
        with connect(target, additional_headers=headers, subprotocols=offered, origin=given, proxy=None) as opened:
            opened.recv(timeout=10)
            chosen = f" {opened.subprotocol}" if opened.subprotocol else ""
            opened.send("still there?")
            opened.recv(timeout=10)
            return f"open{chosen}"
    except InvalidStatus as error:
        return told(error.response.status_code, bytes(error.response.body))
    except ConnectionClosed as error:
        return f"closed {error.rcvd.code if error.rcvd else 'without a word'}"


def outcome(response: httpx.Response) -> str:
    """Status and, where the answer names one, the code."""
    return told(response.status_code, response.content)


def told(status: int, body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    code = document.get("code") if isinstance(document, dict) else None
    return f"{status} {code}" if code else str(status)


@contextmanager
def world(directory: Path, **variables: str) -> Iterator[World]:
    """An issuer with one key of every kind and a server that trusts it."""
    with EntraIssuer() as issuer:
        audience, tenant = new_guid(), issuer.home
        keys = every_kind_of_key(issuer)
        settings = {
            "AUTH_MODE": "entra",
            "ENTRA_CLIENT_ID": audience,
            "ENTRA_TENANTS": tenant,
            "ENTRA_AUTHORITY": issuer.base,
            **variables,
        }
        with running(directory, settings) as server:
            yield World(issuer, server, audience, tenant, keys)


def every_kind_of_key(issuer: EntraIssuer) -> dict[str, str]:
    """Key ids: a good one; of consumer accounts, of another tenant, of no named issuer, too short, never published."""
    return {
        "good": issuer.add_key(),
        "consumers": issuer.add_key(MSA_TENANT),
        "other": issuer.add_key(new_guid()),
        "nameless": issuer.add_key(None),
        "short": issuer.add_key(bits=1024),
        "hidden": issuer.add_key(published=False),
    }
