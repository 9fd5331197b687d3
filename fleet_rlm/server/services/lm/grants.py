"""What a kernel may ask of models: a token that is for it alone, how long, and how much.

A grant lasts as long as its kernel is heard of: each call and each run that begins lengthens it, and it ends with the
kernel. What it allows is set anew when a run begins there, to what that run may spend; the kernel's own ledger keeps
the same account, and this one holds where code in the kernel goes around it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from fleet_rlm.server.services.errors import ServiceError
from fleet_rlm.server.services.owner import Owner

PREFIX = "fleet-lm-"
LASTS_S = 4 * 3600.0
"""Longer than any one call; a kernel that is not heard of for so long has been forgotten by everybody."""


class BadToken(ServiceError):
    """The token is none of a kernel that is running."""

    status, code = 401, "invalid_token"


class Spent(ServiceError):
    """The run has made all the calls, or used all the tokens, it may."""

    status, code = 403, "budget_exhausted"


@dataclass(eq=False)
class Grant:
    """The account of one kernel. `calls` and `tokens` are what is left, None is no limit.

    Calls that are `open` are reserved, and with each the tokens of its prompt, `reading` in all.
    """

    kernel_id: str
    owner: Owner
    until: float
    calls: int | None
    tokens: int | None
    open: int = 0
    reading: int = 0

    def reserve(self, prompt: int = 0) -> None:
        """Take one call out, with about so many tokens in its prompt, before it is made.

        Raises:
            Spent: there is none left.
        """
        if self.calls is not None and self.calls - self.open <= 0:
            raise Spent("the run has made all the model calls it may; give it a larger budget")
        if self.tokens is not None and self.tokens <= self.reading:
            raise Spent("the run has used all the tokens it may; ask an administrator for a larger limit")
        self.open += 1
        self.reading += prompt

    def settle(self, carried_out: bool, tokens: int, prompt: int = 0) -> None:
        """Book what became of a call; one that the provider did not carry out costs nothing."""
        self.open -= 1
        self.reading -= prompt
        if carried_out and self.calls is not None:
            self.calls -= 1
        if self.tokens is not None:
            self.tokens -= tokens


class Grants:
    """The grants of all kernels. Only hashes of tokens are kept.

    Args:
        calls, tokens: the most that a run may be given; None is no limit.
    """

    def __init__(self, calls: int | None, tokens: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._tokens = tokens
        self._clock = clock
        self._by_token: dict[bytes, Grant] = {}
        self._by_kernel: dict[str, bytes] = {}

    def issue(self, kernel_id: str, owner: Owner) -> str:
        """A token for a kernel that is about to start; an earlier one of the same kernel ends."""
        self.revoke(kernel_id)
        token = PREFIX + secrets.token_urlsafe(32)
        digest = self._by_kernel[kernel_id] = _digest(token)
        self._by_token[digest] = Grant(kernel_id, owner, self._clock() + LASTS_S, 0, 0)
        return token

    def revoke(self, kernel_id: str) -> None:
        """End a kernel's grant."""
        digest = self._by_kernel.pop(kernel_id, None)
        if digest is not None:
            del self._by_token[digest]

    def allow(self, kernel_id: str, calls: int | None) -> None:
        """A run is about to begin in a kernel, and may make so many calls; one without a grant has keys of its own."""
        digest = self._by_kernel.get(kernel_id)
        if digest is not None:
            grant = self._by_token[digest]
            grant.calls = min((one for one in (calls, self._calls) if one is not None), default=None)
            grant.tokens = self._tokens
            grant.until = self._clock() + LASTS_S

    def find(self, token: str) -> Grant:
        """Whose token that is.

        Raises:
            BadToken: nobody's.
        """
        grant = self._by_token.get(_digest(token))
        if grant is None or grant.until <= self._clock():
            raise BadToken("the token is none of a kernel that is running here; restart the kernel")
        grant.until = self._clock() + LASTS_S
        return grant


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
