"""Bars lie below their parents, and what ran at the same time does not overlap."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations

import pytest

from fleet_rlm.core.report.flame import BARS, flame_svg
from fleet_rlm.core.tree import SpanNode, Tree

BAR = re.compile(r'<rect class="bar [^"]*" x="([\d.]+)" y="(\d+)" width="([\d.]+)"')


def bars(svg: str) -> list[tuple[float, int, float]]:
    return [(float(x), int(y), float(width)) for x, y, width in BAR.findall(svg)]


@pytest.mark.parametrize("name", ["auto", "exhausted", "stopped"])
def test_every_span_is_a_bar_inside_the_picture_and_none_covers_another(
    golden: Callable[[str], Tree], name: str
) -> None:
    tree = golden(name)
    drawn = bars(flame_svg(tree))

    assert len(drawn) == len(tree.spans)
    assert all(x >= 0 and x + width <= 1002 for x, _, width in drawn)
    for (x, y, width), (other_x, other_y, other_width) in combinations(drawn, 2):
        if y == other_y:  # bars are at least 1 wide, so neighbours may touch by that much
            assert x + width <= other_x + 1.01 or other_x + other_width <= x + 1.01


def test_a_run_without_spans_has_no_picture() -> None:
    assert flame_svg(Tree()) == ""


def test_more_bars_than_can_be_read_are_counted_instead() -> None:
    tree = Tree()
    for number in range(BARS + 10):
        tree.spans[f"s{number}"] = SpanNode(
            id=f"s{number}", parent=None, depth=0, type="llm", name="q", seq=number, start=number, end=number + 1
        )

    assert "10 spans are not drawn" in flame_svg(tree)
