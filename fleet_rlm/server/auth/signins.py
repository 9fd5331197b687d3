"""Short-lived proofs kept in the server's memory: browser sign-ins and one-time WebSocket tickets.

Both hand out 256 random bits and keep only their hash, so that a dump of the memory opens no door. Neither outlives the
token it was made from, and neither survives a restart: a browser is then sent round the sign-in once more.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

SIGN_INS = 10_000
TICKETS = 10_000
TICKETS_PER_USER = 20
TICKET_S = 30


class Expiring(Protocol):
    """A user whose proof ends at `exp` (seconds since the epoch)."""

    username: str
    exp: int


U = TypeVar("U", bound=Expiring)


@dataclass(frozen=True)
class _Ticket(Generic[U]):
    user: U
    path: str
    until: float


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


class SignIns(Generic[U]):
    """Who is signed in by browser, by an id that only the browser's cookie holds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._users: OrderedDict[bytes, U] = OrderedDict()

    def begin(self, user: U) -> str:
        """Sign a user in; the id is for the cookie and nothing else."""
        now = self._clock()
        for key in [key for key, one in self._users.items() if one.exp <= now]:
            del self._users[key]
        while len(self._users) >= SIGN_INS:
            self._users.popitem(last=False)
        sign_in = secrets.token_urlsafe(32)
        self._users[_hash(sign_in)] = user
        return sign_in

    def user(self, sign_in: str) -> U | None:
        """Who signed in with that id; None once the sign-in has ended."""
        user = self._users.get(_hash(sign_in))
        return user if user is not None and user.exp > self._clock() else None

    def end(self, sign_in: str) -> None:
        """Sign out."""
        self._users.pop(_hash(sign_in), None)


class Tickets(Generic[U]):
    """Proofs for one WebSocket each: a browser page cannot set headers on one, and a token must not be in a URL."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tickets: OrderedDict[bytes, _Ticket[U]] = OrderedDict()

    def issue(self, user: U, path: str) -> str:
        """A ticket with which this user may open the WebSocket at that path, once, within TICKET_S seconds.

        One user holds at most TICKETS_PER_USER; the oldest makes room.
        """
        now = self._clock()
        while self._tickets and next(iter(self._tickets.values())).until <= now:
            self._tickets.popitem(last=False)
        own = [key for key, ticket in self._tickets.items() if ticket.user.username == user.username]
        for key in own[: max(0, len(own) + 1 - TICKETS_PER_USER)]:
            del self._tickets[key]
        while len(self._tickets) >= TICKETS:
            self._tickets.popitem(last=False)
        value = secrets.token_urlsafe(32)
        self._tickets[_hash(value)] = _Ticket(user, path, now + TICKET_S)
        return value

    def redeem(self, value: str, path: str) -> U | None:
        """Whose ticket it is; whatever the outcome, it is used up."""
        ticket = self._tickets.pop(_hash(value), None)
        now = self._clock()
        if ticket is None or ticket.path != path or ticket.until <= now or ticket.user.exp <= now:
            return None
        return ticket.user
