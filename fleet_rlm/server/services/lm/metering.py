"""Metering: what a call used, found in the answer of its provider as it passes by."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from fleet_rlm.server.services.errors import ServiceError

SEEN_BYTES = 4 << 20
"""How much of an answer is kept to find its usage in."""


class UpstreamFailed(ServiceError):
    """The provider cannot be reached."""

    status, code = 502, "provider_unavailable"


@dataclass(frozen=True)
class Used:
    """Tokens of a call: all of them, those read, those written, and those of the read that the provider had cached."""

    tokens: int = 0
    read: int = 0
    written: int = 0
    cached: int = 0


class Meter:
    """Finds the usage in an answer that passes by.

    Attributes:
        used: what the provider told so far.
        pieces: how many it sent of a stream; most hold a token.
    """

    def __init__(self) -> None:
        self.used = Used()
        self.pieces = 0
        self._seen = bytearray()
        self._streams = False

    async def reading(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        self._streams = response.headers.get("Content-Type", "").startswith("text/event-stream")
        try:
            async for piece in response.aiter_bytes():
                self._look(piece)
                yield piece
        except httpx.HTTPError as error:
            raise UpstreamFailed(f"the provider broke off ({type(error).__name__})") from error
        if not self._streams and len(self._seen) <= SEEN_BYTES:
            self._count(bytes(self._seen))

    def at_least(self, expected: Used) -> Used:
        """What the provider told; where it did not, or was not listened to, what was expected or came."""
        if self.used.tokens:
            return self.used
        written = max(expected.written, self.pieces)
        return Used(expected.read + written, expected.read, written)

    def _look(self, piece: bytes) -> None:
        self._seen += piece
        if not self._streams:
            del self._seen[SEEN_BYTES + 1 :]
            return
        *lines, rest = bytes(self._seen).split(b"\n")
        self._seen[:] = rest[-SEEN_BYTES:]
        for line in lines:
            if line.startswith(b"data:"):
                self.pieces += 1
                if b'"usage"' in line:
                    self._count(line[5:])

    def _count(self, text: bytes) -> None:
        try:
            usage = json.loads(text).get("usage")
        except (ValueError, AttributeError, RecursionError):
            return
        if isinstance(usage, Mapping) and (total := _number(usage, "total_tokens")):
            details = usage.get("prompt_tokens_details")
            cached = _number(details, "cached_tokens") if isinstance(details, Mapping) else 0
            self.used = Used(total, _number(usage, "prompt_tokens"), _number(usage, "completion_tokens"), cached)


def _number(told: Mapping[str, Any], name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) and value > 0 else 0
