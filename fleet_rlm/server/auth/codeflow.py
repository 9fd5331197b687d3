"""Browser sign-in by authorization code with PKCE: the address to send a browser to, and what its answer proves.

Nothing of a sign-in under way is kept here: state, nonce and verifier travel in a signed cookie of the browser that
began it, so that nobody can fill the server's memory from outside, and nobody can finish a sign-in begun elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from fleet_rlm.server.auth import outgoing
from fleet_rlm.server.auth.deployment import Entra
from fleet_rlm.server.auth.keys import KeyCache
from fleet_rlm.server.auth.refusals import AuthUnavailable, InvalidToken
from fleet_rlm.server.auth.verifier import Principal, Verifier

log = logging.getLogger(__name__)

TIMEOUT_S = 10
REPLY_BYTES = 256 * 1024


@dataclass(frozen=True)
class Begun:
    """A sign-in under way, as its browser keeps it. `next` is where it goes afterwards."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def new(cls, next_path: str) -> Begun:
        """One with fresh secrets."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), next_path)

    @classmethod
    def read(cls, text: bytes) -> Begun:
        """The inverse of `write`; only for text whose signature was checked."""
        return cls(**json.loads(text))

    def write(self) -> str:
        """As text, for a signed cookie."""
        return json.dumps(asdict(self))


class CodeFlow:
    """The conversation with the issuer, both halves."""

    def __init__(self, entra: Entra, keys: KeyCache, verifier: Verifier) -> None:
        self._entra = entra
        self._keys = keys
        self._verifier = verifier

    async def address(self, begun: Begun, callback: str) -> str:
        """Where to send the browser.

        Raises:
            AuthUnavailable: the issuer does not say.
        """
        metadata = await self._keys.metadata()
        challenge = urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self._entra.client_id,
            "response_type": "code",
            "response_mode": "query",
            "redirect_uri": callback,
            "scope": self._scope(),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{metadata.authorization_url}?{urlencode(query)}"

    async def finish(self, begun: Begun, code: str, callback: str) -> Principal:
        """Who signed in: what the access token says, given that the id token proves it is the sign-in begun here.

        Raises:
            Refusal: they are not let in.
        """
        reply = await self._redeem(begun, code, callback)
        id_token, access_token = reply.get("id_token"), reply.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise InvalidToken("the identity service did not return the tokens asked for")
        signed_in = await self._verifier.id_token(id_token, begun.nonce)
        principal = await self._verifier.access_token(access_token)
        if (principal.tid, principal.oid) != signed_in:
            raise InvalidToken("the identity service returned tokens of two different people")
        return principal

    def _scope(self) -> str:
        return f"openid profile api://{self._entra.client_id}/{self._entra.scope}"

    async def _redeem(self, begun: Begun, code: str, callback: str) -> dict[str, Any]:
        metadata = await self._keys.metadata()
        form = {
            "grant_type": "authorization_code",
            "client_id": self._entra.client_id,
            "code": code,
            "redirect_uri": callback,
            "code_verifier": begun.verifier,
            "scope": self._scope(),
        }
        if self._entra.secret_file is not None:
            form["client_secret"] = self._entra.secret_file.read_text().strip()  # read anew: secrets are rotated
        try:
            async with await outgoing.client(TIMEOUT_S) as client:
                response = await client.post(metadata.token_url, data=form)
        except httpx.HTTPError as error:
            raise AuthUnavailable("the identity service cannot be reached at the moment; try again shortly") from error
        if response.status_code >= 500:
            raise AuthUnavailable("the identity service has a problem at the moment; try again shortly")
        try:
            reply = json.loads(response.content[: REPLY_BYTES + 1]) if len(response.content) <= REPLY_BYTES else None
        except (ValueError, RecursionError):
            reply = None
        if response.status_code != 200 or not isinstance(reply, dict):
            log.warning("the identity service refused a sign-in code with status %d", response.status_code)
            raise InvalidToken("the identity service did not accept the sign-in; begin it again")
        return reply
