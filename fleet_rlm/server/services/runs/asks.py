"""OpenAsks: what a run waits for a person to decide, kept up with as its log tells.

The same rule as the tree's: a question is open until it is answered, its span ends, or the run ends or goes on anew.
It is kept beside the feed because a question may wait while so much else happens that the feed lets go of its event.
"""

from __future__ import annotations

import msgspec

from fleet_rlm.core.events import ApprovalAnswer, ApprovalAsk, decode

MOST, LONGEST = 32, 32 << 10
"""Questions, and bytes of each. Code in a kernel can write what it likes into its log; an agent asks one at a time."""


class _Spanned(msgspec.Struct):
    span: str | None = None


_spanned = msgspec.json.Decoder(_Spanned)


class OpenAsks:
    """The open questions of one run."""

    def __init__(self) -> None:
        self._by_span: dict[str, ApprovalAsk] = {}

    def __bool__(self) -> bool:
        return bool(self._by_span)

    @property
    def events(self) -> list[ApprovalAsk]:
        """The events that asked, oldest first."""
        return sorted(self._by_span.values(), key=lambda asked: asked.seq)

    def heard(self, line: bytes) -> None:
        """Something was asked or answered."""
        try:
            event = decode(line)
        except (msgspec.DecodeError, ValueError):
            return
        if isinstance(event, ApprovalAnswer):
            self._by_span.pop(event.span or "", None)
        elif isinstance(event, ApprovalAsk) and event.span and len(line) <= LONGEST and len(self._by_span) < MOST:
            self._by_span[event.span] = event

    def closed(self, line: bytes) -> None:
        """A span has ended: what it asked is not waited for any more."""
        try:
            self._by_span.pop(_spanned.decode(line).span or "", None)
        except msgspec.DecodeError:
            return

    def clear(self) -> None:
        """Nothing is waited for."""
        self._by_span.clear()
