"""Buffers: named lists of texts in which an agent collects what it found, kept with its session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_rlm.core.errors import UserError

TOTAL_CHARS = 10_000_000
"""Characters in all buffers of a session together; a larger text is a document."""


class BufferError(UserError):
    """A buffer cannot be read or written as asked."""


class Buffers:
    """Lists of texts by name; a list exists once something was written to it."""

    def __init__(self) -> None:
        self._lists: dict[str, list[str]] = {}

    def names(self) -> dict[str, int]:
        """Name to number of texts."""
        return {name: len(texts) for name, texts in self._lists.items()}

    def read(self, name: str) -> list[str]:
        """The texts of a buffer, in the order written.

        Raises:
            BufferError: there is no such buffer.
        """
        if name not in self._lists:
            there_are = ", ".join(map(repr, self._lists)) or "none"
            raise BufferError(f"there is no buffer {name!r}; there are: {there_are}")
        return list(self._lists[name])

    def write(self, name: str, texts: Sequence[str], *, replace: bool = False) -> int:
        """Add texts to a buffer, or put them in the place of what it held; returns how many it holds then.

        Raises:
            BufferError: the name is empty, or the buffers would hold too much.
        """
        if not name.strip():
            raise BufferError("a buffer needs a name")
        if isinstance(texts, str):
            raise BufferError("a buffer is written as a list of texts, not one text")
        kept = [] if replace else self._lists.get(name, [])
        others = sum(len(text) for other, held in self._lists.items() if other != name for text in held)
        if others + sum(map(len, kept)) + sum(map(len, texts)) > TOTAL_CHARS:
            raise BufferError(
                f"buffers hold at most {TOTAL_CHARS:,} characters together; clear one, or keep this in a document"
            )
        self._lists[name] = [*kept, *texts]
        return len(self._lists[name])

    def clear(self, name: str) -> None:
        """Forget a buffer. Raises BufferError if there is none of this name."""
        self.read(name)
        del self._lists[name]

    def state(self) -> dict[str, list[str]]:
        """All of it as plain JSON."""
        return {name: list(texts) for name, texts in self._lists.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Buffers:
        """Buffers as `state` told them."""
        buffers = cls()
        buffers._lists = {str(name): [str(text) for text in texts] for name, texts in state.items()}
        return buffers

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {number:,} texts" for name, number in self.names().items()) or "no buffers"
