"""Two runs side by side: which spans they share, and where they part.

Spans are matched by their place: below matched parents, the n-th of a type and name on one side is the n-th on the
other. A run and its branch thus agree up to the change, and the first row that differs is where they part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.journal import CALLS_LEFT
from fleet_rlm.core.report.sides import table, text
from fleet_rlm.core.tree import SpanNode, Tree

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("status", "code", "output", "input", "error")
"""What is compared, in this order."""

COLUMNS = ("level", "kind", "name", "span_a", "span_b", "same", "differs")


@dataclass(frozen=True)
class Pair:
    """One place in the two trees; a side is None where that run has no such span."""

    level: int
    a: SpanNode | None
    b: SpanNode | None

    @property
    def node(self) -> SpanNode:
        """The span of either side."""
        node = self.a or self.b
        assert node is not None
        return node

    @property
    def differs(self) -> str | None:
        """The first field in which the sides differ; "only in a" or "only in b"; None where they are the same."""
        if self.b is None:
            return "only in a"
        if self.a is None:
            return "only in b"
        return next((name for name in FIELDS if compared(self.a, name) != compared(self.b, name)), None)


def compared(node: SpanNode, field: str) -> str | None:
    """What is compared of a field: how many calls a prompt says are left is no difference."""
    text = getattr(node, field)
    return CALLS_LEFT.sub("max N sub-LLM calls", text) if field == "input" and text else text


class Diff:
    """What two runs share and where they part; shown by a notebook, `print(diff)`, or `diff.frame()`."""

    def __init__(self, a: Tree, b: Tree) -> None:
        self.a, self.b = a, b
        self.pairs = list(_paired(a, a.roots, b, b.roots, 0))

    @property
    def parts(self) -> Pair | None:
        """Where they part: the first place that differs and has no place below it that does, None for equal runs."""
        found: Pair | None = None
        for pair in self.pairs:
            if found is not None and pair.level <= found.level:
                break
            if pair.differs is not None:
                found = pair
        return found

    def frame(self) -> pd.DataFrame:
        """One row per place, depth first.

        Columns: level, kind, name, span_a, span_b, same, differs (the first field that does), and for each of status,
        input, code, output, error, usage's llm_calls and duration_s the two sides with `_a` and `_b`.
        """
        import pandas as pd  # 0.4 s: only who asks for a frame pays for it

        return pd.DataFrame([_row(pair) for pair in self.pairs], columns=[*COLUMNS, *_sides()])

    def __str__(self) -> str:
        return text(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": table(self), "text/plain": text(self)}

    def __repr__(self) -> str:
        differ = sum(pair.differs is not None for pair in self.pairs)
        return f"Diff({self.a.run!r}, {self.b.run!r}: {differ} of {len(self.pairs)} places differ)"


def _paired(a: Tree, in_a: list[SpanNode], b: Tree, in_b: list[SpanNode], level: int) -> Iterator[Pair]:
    left = defaultdict(list)
    for node in in_b:
        left[_kind(node)].append(node)
    for node in in_a:
        same = left[_kind(node)]
        other = same.pop(0) if same else None
        yield Pair(level, node, other)
        yield from _paired(a, a.children(node), b, b.children(other) if other else [], level + 1)
    for node in in_b:
        if any(node is one for one in left[_kind(node)]):
            yield Pair(level, None, node)
            yield from _paired(a, [], b, b.children(node), level + 1)


def _kind(node: SpanNode) -> tuple[str, str]:
    """Sandboxes are named by their process, and cells by their sandbox."""
    return node.type, "" if node.type == "code" else node.name


def _row(pair: Pair) -> list[Any]:
    row: list[Any] = [pair.level, pair.node.type, pair.node.name, pair.a and pair.a.id, pair.b and pair.b.id]
    row += [pair.differs is None, pair.differs]
    for name in FIELDS:
        row += [getattr(pair.a, name, None), getattr(pair.b, name, None)]
    for side in (pair.a, pair.b):
        row.append(side.usage.llm_calls if side is not None and side.usage is not None else None)
    for side in (pair.a, pair.b):
        row.append((side.end - side.start) / 1e6 if side is not None and side.end is not None else None)
    return row


def _sides() -> list[str]:
    return [f"{name}_{side}" for name in (*FIELDS, "llm_calls", "duration_s") for side in "ab"]
