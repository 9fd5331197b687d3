"""Tokens: each is sent as a bearer to a route that any role may read."""

from __future__ import annotations

import time
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import Encoding

from tests.server.auth import forging
from tests.server.auth.row import APP, BAD, GUEST, NO_SCOPE, TENANT, Row
from tests.server.auth.world import SCOPE, World, all_alike
from tests.twins.entra_issuer import MSA_TENANT, new_guid


def names(world: World, tid: Any) -> dict[str, Any]:
    """A tenant and the issuer that agrees with it."""
    return {"tid": tid, "iss": f"{world.issuer.base}/{tid}/v2.0"}


def each(world: World, *changes: dict[str, Any]) -> str:
    """The outcome of every one of these changes to a valid token."""
    return all_alike(world.api(world.kept(world.signed({**world.claims(), **one}))) for one in changes)


def without(world: World, *claims: str) -> str:
    """The outcome of leaving out each of these claims."""
    return all_alike(world.api(world.signed(world.claims(**{name: None}))) for name in claims)


def unfetched(world: World, header: str) -> str:
    """The outcome of a token that names where its key may be fetched, and whether somebody looked there."""
    told = world.api(forging.by_a_stranger(world, **{header: f"{world.issuer.base}/attacker"}))
    return f"{told}, fetched" if world.issuer.hits["/attacker"] else told


def too_long_to_read(world: World) -> str:
    try:
        return world.api("x" * 65_536)
    except httpx.RemoteProtocolError:
        return "connection closed"


KEY_HEADERS = ("jku", "x5u", "jwk")


def now(seconds: int = 0) -> int:
    return int(time.time()) + seconds


def sts(tenant: str, query: str = "") -> str:
    return f"https://sts.windows.net/{tenant}/{query}"


SIGNATURES = [
    Row("a valid token", "200", lambda w: w.api(w.token())),
    Row("`alg: none`, no signature", BAD, lambda w: w.api(forging.unsigned(w))),
    Row(
        "HS256 keyed with the public key, as PEM and as DER",
        BAD,
        lambda w: all_alike(w.api(forging.with_public_key_as_secret(w, one)) for one in (Encoding.PEM, Encoding.DER)),
    ),
    Row(
        "RS512 and PS256 by a good key",
        BAD,
        lambda w: all_alike(w.api(forging.with_algorithm(w, one)) for one in ("RS512", "PS256")),
    ),
    Row("another key's signature under a good key's id", BAD, lambda w: w.api(forging.by_a_stranger(w))),
    Row("claims changed after signing", BAD, lambda w: w.api(forging.altered(w))),
    Row("signature left out", BAD, lambda w: w.api(w.token().rpartition(".")[0] + ".")),
    Row("`crit` header", BAD, lambda w: w.api(forging.with_headers(w, crit=["exp"]))),
    Row("`b64: false` header", BAD, lambda w: w.api(forging.with_headers(w, b64=False))),
    Row(
        "a good key's signature, and `jku`, `x5u` or `jwk` beside it",
        BAD,
        lambda w: all_alike(w.api(forging.with_headers(w, **{one: "https://stranger.example"})) for one in KEY_HEADERS),
    ),
    Row("`jku` that names the attacker's keys", BAD, lambda w: unfetched(w, "jku")),
    Row("`x5u` that names the attacker's certificate", BAD, lambda w: unfetched(w, "x5u")),
    Row(
        "the attacker's key inside the token (`jwk`)",
        BAD,
        lambda w: w.api(forging.by_a_stranger(w, jwk=w.issuer.keys[w.keys["hidden"]].entry())),
    ),
    Row("`typ` of another kind of token", BAD, lambda w: w.api(forging.with_headers(w, typ="dpop+jwt"))),
    Row(
        "no `kid`, an empty one, a number, a list",
        BAD,
        lambda w: all_alike(w.api(forging.with_headers(w, kid=one)) for one in (None, "", 7, ["a"])),
    ),
    Row("unknown `kid`", BAD, lambda w: w.api(w.token(w.keys["hidden"]))),
    Row(
        "`kid` with a path, and one of 9,000 characters",
        BAD,
        lambda w: all_alike(w.api(forging.with_headers(w, kid=one)) for one in ("../../keys", "k" * 9_000)),
    ),
    Row("key of 1,024 bits", BAD, lambda w: w.api(w.token(w.keys["short"]))),
]

ISSUERS = [
    Row("key of consumer accounts signs for an organisation", BAD, lambda w: w.api(w.token(w.keys["consumers"]))),
    Row("consumer account, by its own key", TENANT, lambda w: w.api(w.token(w.keys["consumers"], MSA_TENANT))),
    Row("key of another tenant", BAD, lambda w: w.api(w.token(w.keys["other"]))),
    Row("key that does not say for whom it signs", BAD, lambda w: w.api(w.token(w.keys["nameless"]))),
    Row("`tid` is no GUID, `iss` agrees", BAD, lambda w: each(w, names(w, "contoso.example"))),
    Row(
        "`tid` walks up to an admitted one, `iss` agrees",
        BAD,
        lambda w: each(w, names(w, f"x/../{w.tenant}"), names(w, f"{new_guid()}/../{w.tenant}")),
    ),
    Row("`tid` with a line end, `iss` agrees", BAD, lambda w: each(w, names(w, f"{w.tenant}\n"))),
    Row(
        "`tid` in capitals, in braces, a list",
        BAD,
        lambda w: each(w, {"tid": w.tenant.upper()}, {"tid": f"{{{w.tenant}}}"}, {"tid": [w.tenant]}),
    ),
    Row("no `tid`", BAD, lambda w: without(w, "tid")),
    Row("`iss` of another tenant than `tid`", BAD, lambda w: each(w, {"tid": w.stranger_tenant})),
    Row("`iss` of the v1 endpoint", BAD, lambda w: each(w, {"iss": sts(w.tenant)})),
    Row("v1 token, and one without a version", BAD, lambda w: each(w, {"ver": "1.0"}, {"ver": 2}, {"ver": None})),
    Row("tenant that is not admitted", TENANT, lambda w: w.api(w.token(tid=w.stranger_tenant))),
]

TIMES = [
    Row("issued for another API", BAD, lambda w: each(w, {"aud": new_guid()})),
    Row("issued for our URI, which is not configured", BAD, lambda w: each(w, {"aud": f"api://{w.audience}"})),
    Row("issued for several, us among them", BAD, lambda w: each(w, {"aud": [w.audience, new_guid()]})),
    Row("no `aud`, `exp`, `nbf`, `iat`, `sub`", BAD, lambda w: without(w, "aud", "exp", "nbf", "iat", "sub")),
    Row("expired 30 s ago (clocks differ)", "200", lambda w: each(w, {"exp": now(-30)})),
    Row("expired 90 s ago", BAD, lambda w: each(w, {"exp": now(-90)})),
    Row("valid in 30 s (clocks differ)", "200", lambda w: each(w, {"nbf": now(30)})),
    Row("valid in 90 s", BAD, lambda w: each(w, {"nbf": now(90)})),
    Row("issued in 90 s", BAD, lambda w: each(w, {"iat": now(90)})),
    Row(
        "`exp` that is a text, infinite, a list",
        BAD,
        lambda w: each(w, {"exp": "soon"}, {"exp": float("inf")}, {"exp": [1]}),
    ),
]

CALLERS = [
    Row("id token of the same registration", NO_SCOPE, lambda w: w.api(w.token(scp=None, azp=None, nonce="n"))),
    Row("app-only token", APP, lambda w: w.api(w.token(scp=None, idtyp="app"))),
    Row("app-only token that does not say so", NO_SCOPE, lambda w: w.api(w.token(scp=None))),
    Row("app-only token with a scope", APP, lambda w: w.api(w.token(idtyp="app"))),
    Row(
        "another scope, and nearly ours",
        NO_SCOPE,
        lambda w: each(w, {"scp": "User.Read"}, {"scp": SCOPE.upper()}, {"scp": SCOPE + "s"}, {"scp": f"{SCOPE},x"}),
    ),
    Row("our scope in a list", NO_SCOPE, lambda w: each(w, {"scp": [SCOPE]})),
    Row("guest by `acct`", GUEST, lambda w: each(w, {"acct": 1}, {"acct": "1"})),
    Row("guest by an `idp` of another tenant", GUEST, lambda w: each(w, {"idp": sts(w.stranger_tenant)})),
    Row("guest by a consumer `idp`", GUEST, lambda w: each(w, {"idp": "live.com"}, {"idp": "google.com"})),
    Row(
        "guest whose `idp` mentions our tenant",
        GUEST,
        lambda w: each(
            w,
            {"idp": sts(w.stranger_tenant, f"?{w.tenant}")},
            {"idp": f"https://stranger.example/{w.tenant}/"},
            {"idp": [sts(w.tenant)]},
        ),
    ),
    Row(
        "member whose `idp` is in the v1 or the v2 form",
        "200",
        lambda w: each(w, {"idp": sts(w.tenant), "acct": 0}, {"idp": f"{w.issuer.base}/{w.tenant}/v2.0"}),
    ),
    Row("no `oid`, but a `sub`", BAD, lambda w: without(w, "oid")),
    Row("`oid` that is no GUID", BAD, lambda w: each(w, {"oid": "ada@example.com"}, {"oid": 1})),
]

FORMS = [
    Row("token of 40 KiB", BAD, lambda w: w.api(w.token(padding="x" * 30_000))),
    Row("token of 64 KiB, past the server's limit on headers", "connection closed", too_long_to_read),
    Row("encrypted token (five parts)", BAD, lambda w: w.api("a.b.c.d.e")),
    Row("no JWT at all", BAD, lambda w: all_alike(w.api(one) for one in ("x", "a.b.c", "..", "%00.a.b"))),
    Row("header nested 9,000 deep", BAD, lambda w: w.api(forging.nested(9_000))),
    Row("signed claims nested 4,000 deep", BAD, lambda w: w.api(forging.with_payload(w, b"[" * 4_000))),
    Row(
        "signed claims that are a list, a text, no JSON, no UTF-8",
        BAD,
        lambda w: all_alike(w.api(forging.with_payload(w, one)) for one in (b"[]", b'"x"', b"x", b"\xff\xfe")),
    ),
]
