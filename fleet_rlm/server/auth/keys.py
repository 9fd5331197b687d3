"""The issuer's signing keys, by key id, fetched without ever holding up a request that needs none.

The rules are Microsoft's for key rollover, and each has a reason:

- A known key is answered from memory at once.
- A timer fetches the set before it is `refresh_s` old, each server at a moment of its own, sooner after a fetch that
  failed. Where nobody started the timer, the first request that finds the set too old has it fetched behind itself.
- An unknown key id may be a new key, so it is worth one fetch that the asker waits for; everybody who asks meanwhile
  waits for the same one. Ids are free to invent, so this happens once per `interval_s`, and an id that was not found
  is remembered for five times as long: a client that repeats a dead token does not use up the one fetch.
- A fetch that fails changes nothing: the keys last seen stay good for `keep_s`, so an outage logs nobody out.
- A fetch that succeeds replaces the whole set: a key the issuer withdraws stops working then.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fleet_rlm.server.auth import outgoing
from fleet_rlm.server.auth.refusals import AuthUnavailable, InvalidToken

log = logging.getLogger(__name__)

DOCUMENT_BYTES = 256 * 1024
KEYS = 64
KEY_ID_CHARS = 256
REMEMBERED_UNKNOWN = 1_000
JITTER = 0.2  # of the time between two refreshes: servers that were started together do not ask together
COLD_RETRY_S = 1.0  # between attempts while there is no key at all


@dataclass(frozen=True)
class SigningKey:
    """A key and the issuer it signs for: a template with `{tenantid}`, or the one tenant it may sign for."""

    key: RSAPublicKey
    issuer: str


@dataclass(frozen=True)
class Metadata:
    """Where the issuer serves what."""

    keys_url: str
    authorization_url: str
    token_url: str


class UnusableDocument(ValueError):
    """The issuer answered with something that is no metadata or no key set."""


class KeyCache:
    """Keys of one issuer. Belongs to the loop it is used on.

    Args:
        metadata_url: the issuer's OpenID configuration; everything it names must be of the same origin.
        refresh_s: age at which the set is fetched anew behind a request.
        interval_s: least time between two fetches on account of unknown key ids.
        keep_s: how long keys stay good without a successful fetch.
        timeout_s: for a whole fetch.
        clock: seconds, never going back.
        sleep, share: how the timer waits, and which part of its time, from 0 to 1, it leaves out.
    """

    def __init__(
        self,
        metadata_url: str,
        *,
        refresh_s: float = 3_600,
        interval_s: float = 60,
        keep_s: float = 86_400,
        timeout_s: float = 5,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        share: Callable[[], float] = random.random,
    ) -> None:
        self.metadata_url = metadata_url
        self.refresh_s, self.interval_s, self.keep_s, self.timeout_s = refresh_s, interval_s, keep_s, timeout_s
        self._clock, self._sleep, self._share = clock, sleep, share
        self._keys: dict[str, SigningKey] = {}
        self._metadata: Metadata | None = None
        self._unknown: dict[str, float] = {}  # key id -> when it may be asked for again
        self._succeeded = self._attempted = self._asked_for_unknown = float("-inf")
        self._fetching: asyncio.Task[bool] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Fetch now, and from now on before the set is too old, until `close`; doing it twice is harmless."""
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    async def get(self, kid: str) -> SigningKey:
        """The key of that id.

        Raises:
            InvalidToken: there is none.
            AuthUnavailable: no keys could be had, or none that are recent enough.
        """
        age = self._clock() - self._succeeded
        if age >= self.keep_s:
            await self._renewed()
        elif age >= self.refresh_s and self._clock() - self._attempted >= self.interval_s:
            self._fetch()  # behind this request
        key = self._keys.get(kid)
        if key is None and self._worth_asking(kid):
            succeeded = await asyncio.shield(self._fetch())
            key = self._keys.get(kid)
            if key is None and succeeded:
                self._remember_unknown(kid)
        if key is None:
            raise InvalidToken("the signing key is not known")
        return key

    async def metadata(self) -> Metadata:
        """The issuer's own addresses.

        Raises:
            AuthUnavailable: they could not be had.
        """
        if self._metadata is None:
            await self._renewed()
        assert self._metadata is not None
        return self._metadata

    async def close(self) -> None:
        """Stop the timer, and give up a fetch under way."""
        tasks = [task for task in (self._refreshing, self._fetching) if task is not None]
        self._refreshing = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self) -> None:
        while True:
            try:
                is_fetched = await asyncio.shield(self._fetch())
            except Exception:  # a timer that ends is noticed a day later, when the keys are too old for everybody
                log.exception("signing keys could not be fetched")
                is_fetched = False
            period = self.refresh_s if is_fetched else self.interval_s
            await self._sleep(period * (1 - JITTER * self._share()))

    async def _renewed(self) -> None:
        """Have a set that is recent enough, or raise."""
        if self._fetching is not None or self._clock() - self._attempted >= COLD_RETRY_S:
            await asyncio.shield(self._fetch())
        if self._clock() - self._succeeded >= self.keep_s:
            self._keys.clear()
            raise AuthUnavailable("the identity service gives no signing keys at the moment; try again shortly")

    def _worth_asking(self, kid: str) -> bool:
        now = self._clock()
        if len(kid) > KEY_ID_CHARS or self._unknown.get(kid, 0) > now:
            return False
        if self._fetching is not None:
            return True  # wait for what is under way
        if now - self._asked_for_unknown < self.interval_s:
            return False
        self._asked_for_unknown = now
        return True

    def _remember_unknown(self, kid: str) -> None:
        self._unknown.pop(kid, None)
        if len(self._unknown) >= REMEMBERED_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[kid] = self._clock() + 5 * self.interval_s

    def _fetch(self) -> asyncio.Task[bool]:
        """The fetch under way, begun if there is none."""
        if self._fetching is None:
            self._attempted = self._clock()
            self._fetching = asyncio.get_running_loop().create_task(self._attempt())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, _: asyncio.Task[bool]) -> None:
        self._fetching = None

    async def _attempt(self) -> bool:
        """Fetch metadata and keys; False where that fails, which changes nothing."""
        try:
            async with asyncio.timeout(self.timeout_s), await outgoing.client(self.timeout_s) as client:
                metadata = self._read_metadata(await _document(client, self.metadata_url))
                keys = _read_keys(await _document(client, metadata.keys_url))
        except (httpx.HTTPError, TimeoutError, UnusableDocument) as error:
            log.warning("signing keys could not be fetched: %s", error or type(error).__name__)
            return False
        self._metadata, self._keys = metadata, keys
        self._succeeded = self._clock()
        for kid in keys.keys() & self._unknown.keys():
            del self._unknown[kid]
        return True

    def _read_metadata(self, document: Mapping[str, Any]) -> Metadata:
        names = ("jwks_uri", "authorization_endpoint", "token_endpoint")
        values = [document.get(name) for name in names]
        origin = urlsplit(self.metadata_url)[:2]
        for name, value in zip(names, values, strict=True):
            if not isinstance(value, str) or urlsplit(value)[:2] != origin:
                raise UnusableDocument(f"the metadata's {name} is not an address of the issuer's own origin")
        return Metadata(*(str(value) for value in values))


async def _document(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    body = bytearray()
    async with client.stream("GET", url) as response:
        if response.status_code != 200:
            raise UnusableDocument(f"the issuer answered {response.status_code}")
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > DOCUMENT_BYTES:
                raise UnusableDocument(f"the issuer's document is larger than {DOCUMENT_BYTES} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableDocument("the issuer's document is not JSON") from error
    if not isinstance(document, dict):
        raise UnusableDocument("the issuer's document is not an object")
    return document


def _read_keys(document: Mapping[str, Any]) -> dict[str, SigningKey]:
    """The RSA signing keys of a key set that say which issuer they sign for; others are of no use here."""
    listed = document.get("keys")
    usable: dict[str, SigningKey] = {}
    for entry in listed[:KEYS] if isinstance(listed, list) else ():
        if not isinstance(entry, dict) or entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig":
            continue
        kid, issuer = entry.get("kid"), entry.get("issuer")
        if not isinstance(kid, str) or not kid or not isinstance(issuer, str):
            continue
        try:
            key = jwt.PyJWK(entry, "RS256").key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if isinstance(key, RSAPublicKey) and 2048 <= key.key_size <= 8192:
            usable[kid] = SigningKey(key, issuer)
    if not usable:
        raise UnusableDocument("the issuer lists no usable key")
    return usable
