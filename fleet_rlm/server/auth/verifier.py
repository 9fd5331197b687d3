"""Decides whether an Entra v2 access token proves who is asking, and for which API it was issued.

A token is believed in this order, each step using only what the steps before made certain: its size and header; a
signature by a key the issuer publishes; an issuer that this very key may sign for, with the token's own tenant in it;
times; then who: tenant, audience, kind of caller. The identity is (`tid`, `oid`). Names and addresses in a token can be
changed by their owner, so none of them decides anything.

The claims and their meaning are Microsoft's: https://learn.microsoft.com/entra/identity-platform/claims-validation
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from jwt.types import Options
from jwt.utils import base64url_decode

from fleet_rlm.server.auth.deployment import GUID, Entra
from fleet_rlm.server.auth.keys import KeyCache
from fleet_rlm.server.auth.refusals import Forbidden, InsufficientScope, InvalidToken

TOKEN_CHARS = 16 * 1024
LEEWAY_S = 60
OPTIONS: Options = {
    "require": ["exp", "iat", "nbf", "iss", "aud", "sub"],
    "verify_aud": False,  # both are compared exactly, later
    "verify_iss": False,
}
FOREIGN_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "cty"})  # Entra sends none of them
STS_HOST = "sts.windows.net"  # how `idp` may name the tenant of a member, even in a v2 token


@dataclass(frozen=True)
class Principal:
    """Who a token speaks for.

    Attributes:
        tid, oid: tenant and object id, GUIDs in lower case; together the identity.
        scopes, roles: what the calling program may do for the user; app roles given to the user or program.
        name: for display only.
        exp: seconds since the epoch.
        uti: the token's id, which may be logged where the token may not.
        azp: the calling program's client id.
        app: a program speaks for itself.
    """

    tid: str
    oid: str
    scopes: frozenset[str]
    roles: frozenset[str]
    name: str
    exp: int
    uti: str
    azp: str
    app: bool


class Verifier:
    """Verifies tokens for one API registration."""

    def __init__(self, entra: Entra, keys: KeyCache) -> None:
        self._entra = entra
        self._keys = keys

    async def access_token(self, token: str) -> Principal:
        """Who a bearer of this token is.

        Raises:
            Refusal: they are not let in; it says whether another token would help.
        """
        claims = await self._genuine(token)
        if claims["aud"] not in self._entra.audiences:
            raise InvalidToken("the token was issued for another API")
        principal = _principal(claims)
        self._admit_tenant(principal.tid)
        self._admit_caller(claims, principal)
        return principal

    async def id_token(self, token: str, nonce: str) -> tuple[str, str]:
        """Tenant and object id of who signed in with this nonce.

        Raises:
            Refusal: the token does not prove that.
        """
        claims = await self._genuine(token)
        if claims["aud"] != self._entra.client_id:
            raise InvalidToken("the sign-in was for another application")
        if not hmac.compare_digest(_text(claims, "nonce").encode(), nonce.encode()):
            raise InvalidToken("the sign-in was begun elsewhere")
        self._admit_tenant(claims["tid"])
        return claims["tid"], _guid(claims, "oid")

    async def _genuine(self, token: str) -> dict[str, Any]:
        """The claims of a token that the issuer signed for the tenant named in it, and that is valid now."""
        key = await self._keys.get(_key_id(token))
        try:
            claims: dict[str, Any] = jwt.decode(token, key.key, ["RS256"], options=OPTIONS, leeway=LEEWAY_S)
        except jwt.ExpiredSignatureError as error:
            raise InvalidToken("the token has expired") from error
        except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError) as error:
            raise InvalidToken("the token is not valid yet") from error
        except jwt.InvalidSignatureError as error:
            raise InvalidToken("the signature does not match") from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidToken("the token is not a usable JWT") from error
        if claims.get("ver") != "2.0":
            raise InvalidToken("only v2.0 tokens are accepted (requestedAccessTokenVersion 2 in the manifest)")
        tid = _guid(claims, "tid")
        issuer = f"{self._entra.authority}/{tid}/v2.0"
        if claims["iss"] != issuer or key.issuer.replace("{tenantid}", tid) != issuer:
            raise InvalidToken("the issuer may not sign for this tenant")
        if not isinstance(claims["aud"], str):
            raise InvalidToken("the token names more than one audience")
        return claims

    def _admit_tenant(self, tid: str) -> None:
        if self._entra.tenants is not None and tid not in self._entra.tenants:
            raise Forbidden("tenant_forbidden", "this organisation is not admitted here")

    def _admit_caller(self, claims: Mapping[str, Any], principal: Principal) -> None:
        entra = self._entra
        if entra.allowed_clients is not None and principal.azp not in entra.allowed_clients:
            raise Forbidden("client_forbidden", "the calling program is not admitted here")
        if principal.app:
            if not entra.allow_apps:
                raise Forbidden("app_forbidden", "programs without a user are not admitted here")
            if not principal.roles:
                raise Forbidden("app_forbidden", "the program was given no app role of this API")
            return
        if entra.scope not in principal.scopes:  # nor has an id token any
            raise InsufficientScope(entra.scope, "the token lacks the scope of this API on a user's behalf")
        if not entra.allow_guests and self._guest(claims, principal.tid):
            raise Forbidden("guest_forbidden", "guests of the organisation are not admitted here")

    def _guest(self, claims: Mapping[str, Any], tid: str) -> bool:
        """True unless every hint in the token says that the user's home is the tenant itself.

        `idp` names the home tenant as an address, in one of two forms; so tenant ids are compared, not addresses.
        """
        if str(claims.get("acct", "0")) != "0":
            return True
        if "idp" not in claims:
            return False
        home = urlsplit(_text(claims, "idp"))
        known = home.netloc in (STS_HOST, urlsplit(self._entra.authority).netloc)
        return not known or home.path.strip("/").split("/")[0] != tid


def _key_id(token: str) -> str:
    """The key id of a token whose header is one that Entra writes; nothing in it is believed yet."""
    if len(token) > TOKEN_CHARS or not token.isascii() or token.count(".") != 2:
        raise InvalidToken("the token is not a usable JWT")
    try:
        header = json.loads(base64url_decode(token.partition(".")[0]))
    except (ValueError, RecursionError) as error:
        raise InvalidToken("the token is not a usable JWT") from error
    if not isinstance(header, dict) or header.get("alg") != "RS256":
        raise InvalidToken("only tokens signed with RS256 are accepted")
    if header.keys() & FOREIGN_HEADERS or str(header.get("typ", "JWT")).lower() not in ("jwt", "at+jwt"):
        raise InvalidToken("the token's header asks for something that is not accepted")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise InvalidToken("the token names no signing key")
    return kid


def _principal(claims: Mapping[str, Any]) -> Principal:
    scopes = frozenset(_text(claims, "scp").split())
    return Principal(
        tid=claims["tid"],
        oid=_guid(claims, "oid"),
        scopes=scopes,
        roles=_names(claims.get("roles")),
        name=_text(claims, "name"),
        exp=int(claims["exp"]),
        uti=_text(claims, "uti"),
        azp=_text(claims, "azp"),
        app=claims.get("idtyp") == "app",
    )


def _guid(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not GUID.fullmatch(value):
        raise InvalidToken(f"the token's {name} is not a GUID")
    return value


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value if isinstance(value, str) else ""


def _names(value: object) -> frozenset[str]:
    return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list) else frozenset()
