"""Tokens no library would write."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.server.auth.world import World
from tests.twins.entra_issuer import base64url


def unsigned(world: World) -> str:
    """`alg: none`."""
    return _by_hand(world, {"alg": "none", "typ": "JWT", "kid": world.kid}, lambda _: b"")


def with_public_key_as_secret(world: World, encoding: Encoding) -> str:
    """HS256 keyed with what everybody can fetch, hoping that the server takes the key as it comes."""
    form = PublicFormat.SubjectPublicKeyInfo if encoding is Encoding.PEM else PublicFormat.PKCS1
    public = world.issuer.keys[world.kid].private.public_key().public_bytes(encoding, form)
    header = {"alg": "HS256", "typ": "JWT", "kid": world.kid}
    return _by_hand(world, header, lambda text: hmac.new(public, text, hashlib.sha256).digest())


def with_algorithm(world: World, algorithm: str) -> str:
    """By a good key, in a way Entra does not sign."""
    private = world.issuer.keys[world.kid].private
    return world.kept(jwt.encode(world.claims(), private, algorithm, headers={"kid": world.kid}))


def altered(world: World) -> str:
    """Signed for somebody without roles, then made an admin."""
    header, _, signature = world.token(roles=[]).split(".")
    return f"{header}.{base64url(json.dumps(world.claims(roles=['Fleet.Admin'])).encode())}.{signature}"


def by_a_stranger(world: World, **headers: Any) -> str:
    """Signed with the attacker's own key, under the id of a good one."""
    private = world.issuer.keys[world.keys["hidden"]].private
    return world.kept(jwt.encode(world.claims(), private, "RS256", headers={"kid": world.kid, **headers}))


def with_headers(world: World, **headers: Any) -> str:
    """Valid, with these headers; None leaves one out."""
    claims, private = world.claims(), world.issuer.keys[world.kid].private
    header = {"alg": "RS256", "typ": "JWT", "kid": world.kid, **headers}
    header = {name: value for name, value in header.items() if value is not None}
    algorithm = jwt.get_algorithm_by_name("RS256")
    signed = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(claims).encode())}"
    return world.kept(f"{signed}.{base64url(algorithm.sign(signed.encode(), private))}")


def with_payload(world: World, payload: bytes) -> str:
    """A good signature over something that is no claims."""
    private = world.issuer.keys[world.kid].private
    return world.kept(jwt.PyJWS().encode(payload, private, "RS256", headers={"kid": world.kid}))


def nested(depth: int) -> str:
    """A header that a parser descends into before anything is checked."""
    return f"{base64url(b'[' * depth)}.{base64url(b'{}')}.{base64url(b'x')}"


def _by_hand(world: World, header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    signed = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(world.claims()).encode())}"
    return world.kept(f"{signed}.{base64url(sign(signed.encode()))}")
