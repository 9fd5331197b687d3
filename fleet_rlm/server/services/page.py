"""The envelope of every list."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """`items` from `offset` on, of `total` that match."""

    model_config = ConfigDict(extra="forbid")

    items: list[T]
    total: int
    offset: int
    limit: int
    has_more: bool
