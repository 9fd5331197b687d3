"""Failed sign-ins, slowed down by the address they come from and by the account they name.

A bucket for each refills by the minute; when it is empty, whatever else comes from there is refused with the time to
come back, before it is looked at: so a token or a password cannot be guessed by trying. What was right a moment ago
stays right, so nobody who works is shut out by whoever sits behind the same proxy. Where guessing cannot succeed, as
with Entra's signed tokens, a right one is always let in, and only what fails is slowed down.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tornado.httputil import HTTPServerRequest

from fleet_rlm.server.auth.credentials import BEARER_SUBPROTOCOL, TICKET, offered_subprotocols
from fleet_rlm.server.auth.refusals import Refusal

FAILURES = "fleet_failures"
"""Of the web application: its `Failures`; without one nothing is slowed down."""

BUCKETS = 20_000
"""Beyond these the ones not used for longest are forgotten."""

KNOWN = 10_000
MINUTE_S = 60.0
NETWORK_BITS = 64
"""Of an IPv6 address: everybody who has one has all of its network."""

Tell = Callable[[str, Mapping[str, str]], None]


class TooManyFailures(Refusal):
    """Too many sign-ins have failed here.

    Attributes:
        retry_after: seconds until another is looked at.
    """

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__("rate_limited", f"too many sign-ins have failed from here; try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass
class _Bucket:
    left: float
    at: float


class Failures:
    """The failed sign-ins of everybody.

    Args:
        per_minute: how many may fail from one address, and of one account; a minute's worth may at once.
        tell: told ("refused", facts) of each, where the identity provider tells nobody itself.
    """

    def __init__(
        self, per_minute: float, tell: Tell | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.tell = tell
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, secret: str) -> None:
        """Let what is presented be looked at.

        Raises:
            TooManyFailures: too many have failed from that address, and this is nothing that was right before.
        """
        if _digest(secret) not in self._known:
            self._raise(self._wait(_network(address)))

    def passed(self, secret: str) -> None:
        """It was right."""
        digest = _digest(secret)
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def failed(self, address: str, secret: str, account: str | None = None) -> None:
        """It was wrong, or of somebody who is not let in.

        Raises:
            TooManyFailures: as too many others before.
        """
        self._known.pop(_digest(secret), None)
        keys = [_network(address), *([] if account is None else [f"account {account}"])]
        wait = max(self._wait(key) for key in keys)
        for key in keys:
            self._buckets[key].left = max(0.0, self._buckets[key].left - 1)
        self._raise(wait)

    def _wait(self, key: str) -> float:
        """Seconds until the bucket holds one more."""
        now, most = self._clock(), max(1.0, self._per_minute)
        bucket = self._buckets.setdefault(key, _Bucket(most, now))
        self._buckets.move_to_end(key)
        if len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        bucket.left = min(most, bucket.left + (now - bucket.at) * self._per_minute / MINUTE_S)
        bucket.at = now
        return max(0.0, 1 - bucket.left) * MINUTE_S / self._per_minute

    @staticmethod
    def _raise(wait: float) -> None:
        if wait > 0:
            raise TooManyFailures(math.ceil(wait))


def shown(request: HTTPServerRequest) -> str | None:
    """What a request presents that could be a guess; a browser's cookie is none, it ends with the sign-in."""
    found = [*request.headers.get_list("Authorization")]
    for name in ("token", TICKET):
        found += [value.decode("latin-1") for value in request.query_arguments.get(name, [])]
    found += [one for one in offered_subprotocols(request) if one.startswith(BEARER_SUBPROTOCOL)]
    return "\n".join(found) or None


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # of a Unix socket, say
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, NETWORK_BITS), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
