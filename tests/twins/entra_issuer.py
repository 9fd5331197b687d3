"""A loopback issuer that looks like Microsoft Entra ID: metadata, signing keys, tokens, and the sign-in of a browser.

Real RSA keys and real signatures; the metadata of a tenant or of all organisations, key sets whose keys name the issuer
they may sign for, keys that come, go and stay hidden, an outage, an issuer that does not answer, one that answers with
too much. `hits` counts the requests to each path.

    with EntraIssuer() as issuer:
        kid = issuer.add_key()
        token = issuer.token(tid, audience, kid)

The authorize page signs in `person` at once and sends the browser back with a code; the token endpoint redeems it only
with the right verifier, address and secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Iterator

MSA_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"  # of consumer accounts, as Microsoft documents it
ALL_ORGANISATIONS = ("common", "organizations")


def base64url(data: bytes) -> str:
    """As JWTs write bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_guid() -> str:
    """A random GUID in Entra's spelling."""
    return str(uuid.uuid4())


@dataclass
class Key:
    """A signing key; `issuer` is what its entry in the key set says it may sign for."""

    kid: str
    private: rsa.RSAPrivateKey
    issuer: str | None
    published: bool

    def entry(self) -> dict[str, Any]:
        """Its entry in the key set."""
        numbers = self.private.public_key().public_numbers()
        entry = {"kty": "RSA", "use": "sig", "kid": self.kid, "x5t": self.kid}
        entry |= {name: _big(number) for name, number in (("n", numbers.n), ("e", numbers.e))}
        return entry if self.issuer is None else {**entry, "issuer": self.issuer}


@dataclass
class EntraIssuer:
    """The issuer; a context manager that serves in threads of its own.

    Attributes:
        down: answer 503 to everything.
        padding: bytes of white space added to each document.
        person: claims of whoever signs in by browser, over a member of tenant `home`.
        refuses: the error with which the authorize page sends the browser back, instead of a code.
        secret: the client secret the token endpoint asks for; None for a public client.
        hits: requests by path.
    """

    down: bool = False
    padding: int = 0
    home: str = field(default_factory=new_guid)
    person: dict[str, Any] = field(default_factory=dict)
    refuses: str | None = None
    secret: str | None = None
    token_changes: dict[str, Any] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self._open = threading.Event()
        self._open.set()
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(0.02,), name="entra-issuer", daemon=True)

    def __enter__(self) -> EntraIssuer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def metadata_url(self, tenant: str = "organizations") -> str:
        """Where a client begins."""
        return f"{self.base}/{tenant}/v2.0/.well-known/openid-configuration"

    @property
    def key_fetches(self) -> int:
        """How often a key set was asked for."""
        return sum(count for path, count in self.hits.items() if path.endswith("/keys"))

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let requests arrive and wait, unanswered, until the block ends."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def wait_for_key_fetches(self, count: int, timeout: float = 10) -> None:
        """Block until that many key sets were asked for.

        Raises:
            TimeoutError: fewer were.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.key_fetches >= count, timeout):
                raise TimeoutError(f"the issuer waited in vain for {count} key fetches; it saw {self.key_fetches}")

    def add_key(self, tenant: str | None = "{tenantid}", published: bool = True, bits: int = 2048) -> str:
        """A new key that may sign for a tenant, for any (the default), or that does not say (None)."""
        kid = secrets.token_urlsafe(20)
        issuer = None if tenant is None else f"{self.base}/{tenant}/v2.0"
        private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        self.keys[kid] = Key(kid, private, issuer, published)
        return kid

    def claims(self, tid: str, audience: str, /, **changes: Any) -> dict[str, Any]:
        """Those of a valid v2 access token of a member of the tenant; a change to None leaves the claim out."""
        now = int(time.time())
        claims = {
            "aud": audience,
            "iss": f"{self.base}/{tid}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + 3_600,
            "name": "Ada Example",
            "oid": new_guid(),
            "preferred_username": "ada@example.com",
            "roles": ["Fleet.Run"],
            "scp": "access_as_user",
            "sub": base64url(secrets.token_bytes(32)),
            "azp": "00000000-0000-4000-8000-000000000001",
            "azpacr": "0",
            "tid": tid,
            "uti": base64url(secrets.token_bytes(16)),
            "ver": "2.0",
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def sign(self, claims: dict[str, Any], kid: str, headers: dict[str, Any] | None = None) -> str:
        """A token with these claims, signed with that key; a header of None is left out."""
        return jwt.encode(claims, self.keys[kid].private, "RS256", headers={"kid": kid, **(headers or {})})

    def token(self, tid: str, audience: str, kid: str, /, **changes: Any) -> str:
        """A signed access token, valid but for the changes."""
        return self.sign(self.claims(tid, audience, **changes), kid)

    def _document(self, path: str) -> dict[str, Any] | None:
        tenant, _, rest = path.strip("/").partition("/")
        if rest == "discovery/v2.0/keys":
            return {"keys": [key.entry() for key in self.keys.values() if key.published]}
        if rest == "v2.0/.well-known/openid-configuration":
            named = "{tenantid}" if tenant in ALL_ORGANISATIONS else tenant
            return {
                "issuer": f"{self.base}/{named}/v2.0",
                "jwks_uri": f"{self.base}/{tenant}/discovery/v2.0/keys",
                "authorization_endpoint": f"{self.base}/{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{self.base}/{tenant}/oauth2/v2.0/token",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        return None

    def _authorize(self, query: dict[str, str]) -> str:
        """The address the browser is sent back to."""
        if self.refuses is not None:
            answer = {"error": self.refuses, "error_description": "AADSTS: no.", "state": query["state"]}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = query
            answer = {"code": code, "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def _redeem(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        honest = asked is not None and (asked["code_challenge_method"], asked["code_challenge"]) == ("S256", challenge)
        if asked is None or not honest or asked["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        if self.secret is not None and form.get("client_secret") != self.secret:
            return 401, {"error": "invalid_client"}
        client, kid = asked["client_id"], next(kid for kid, key in self.keys.items() if key.published)
        person = {"oid": new_guid(), **self.person}
        access = self.token(self.home, client, kid, **{**person, **self.token_changes})
        identity = self.claims(self.home, client, **{**person, "scp": None, "azp": None, "nonce": asked["nonce"]})
        return 200, {"token_type": "Bearer", "access_token": access, "id_token": self.sign(identity, kid)}


def _handler(issuer: EntraIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            if not self._arrived(target.path):
                return
            if target.path.endswith("/authorize"):
                query = {name: values[0] for name, values in parse_qs(target.query).items()}
                self._answer(302, {}, {"location": issuer._authorize(query)})
            else:
                document = issuer._document(target.path)
                self._answer(404 if document is None else 200, document or {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
            if self._arrived(self.path):
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(*issuer._redeem(form))

        def _arrived(self, path: str) -> bool:
            with issuer._changed:
                issuer.hits[path] += 1
                issuer._changed.notify_all()
            issuer._open.wait()
            if issuer.down:
                self._answer(503, {"error": "temporarily_unavailable"})
            return not issuer.down

        def _answer(self, status: int, document: dict[str, Any], headers: dict[str, str] | None = None) -> None:
            body = json.dumps(document).encode() + b" " * issuer.padding
            self.send_response(status)
            for name, value in {"content-type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _big(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
