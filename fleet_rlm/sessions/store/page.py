"""A part of a list, and how much there is of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from fleet_rlm.core.errors import UserError

T = TypeVar("T")

LIMIT = 50
MOST = 1_000


@dataclass(frozen=True)
class Page(Generic[T]):
    """`items` from `offset` on, of `total` that match."""

    items: list[T]
    total: int
    offset: int
    limit: int

    @property
    def has_more(self) -> bool:
        """Whether something follows this page."""
        return self.offset + len(self.items) < self.total


def checked(limit: int, offset: int, most: int = MOST) -> None:
    """Refuse what is no page.

    Raises:
        UserError: `limit` is not within 1..most, or `offset` is negative.
    """
    if not 1 <= limit <= most:
        raise UserError(f"limit must be within 1 and {most:,}, not {limit}")
    if offset < 0:
        raise UserError(f"offset must be at least 0, not {offset}")
