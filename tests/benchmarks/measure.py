"""What a benchmark yields: figures with their spread, rows that set ours beside the peers', and the bars to clear."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Unit = Literal["s", "bytes", "copies", "%"]


@dataclass(frozen=True)
class Figure:
    """The median of `n` measurements, with the least and the greatest.

    Attributes:
        value, low, high: seconds, bytes, copies or per cent, as the row says.
        note: what was measured, where that differs from the row's own work.
        share: the part of the row's work that was done, for the ratio; 0.1 for 5 children of 50.
    """

    value: float
    low: float
    high: float
    n: int
    note: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Bar:
    """A bar of the issue, in its words, and whether it is cleared."""

    text: str
    met: bool


@dataclass(frozen=True)
class Row:
    """One line of the table. A peer's entry is a figure, or the reason why there is none."""

    work: str
    unit: Unit
    ours: Figure
    peers: dict[str, Figure | str] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    limit: str = ""  # where the time goes, told where a bar is missed

    def times(self, peer: str) -> float | None:
        """How many times more the peer takes; None where it has no figure."""
        figure = self.peers.get(peer)
        return figure.value / figure.share / self.ours.value if isinstance(figure, Figure) else None

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Row:
        """The row of its `asdict`."""
        peers = {name: one if isinstance(one, str) else Figure(**one) for name, one in fields["peers"].items()}
        bars = [Bar(**bar) for bar in fields["bars"]]
        return cls(**{**fields, "ours": Figure(**fields["ours"]), "peers": peers, "bars": bars})


def plain(row: Row) -> dict[str, Any]:
    """The row as JSON takes it."""
    return asdict(row)


def figure(values: Iterable[float], note: str = "", share: float = 1.0) -> Figure:
    """The figure of some measurements of one thing."""
    all_of_them = list(values)
    return Figure(
        statistics.median(all_of_them), min(all_of_them), max(all_of_them), len(all_of_them), note=note, share=share
    )


def timed(work: Callable[[], object]) -> float:
    """Seconds one call takes."""
    gc.collect()  # what an earlier measurement left must not be paid for here
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def at_most(what: str, value: float, limit: float) -> Bar:
    """A bar from above; `what` shows the limit."""
    return Bar(what, value <= limit)


def at_least(what: str, value: float | None, limit: float) -> Bar:
    """A bar from below; missed where there is nothing to compare with."""
    return Bar(what, value is not None and value >= limit)
