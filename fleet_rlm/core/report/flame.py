"""When what happened: the spans of a run as bars over time, an SVG without scripts.

A span lies below its parent; what ran at the same time lies in different lanes.
"""

from __future__ import annotations

from fleet_rlm.core.report.facts import duration, one_line
from fleet_rlm.core.report.lines import title
from fleet_rlm.core.report.markup import esc
from fleet_rlm.core.tree import SpanNode, Tree

WIDTH = 1000
LANE = 18
LANES = 24
BARS = 3000
"""More lanes or bars than these are left out, with a note."""


def flame_svg(tree: Tree) -> str:
    """The picture, or "" for a run without spans. Bars bear the classes `bar` and `t-<span type>`."""
    placed, left_out = _place(tree)
    if not placed:
        return ""
    start, end = _extent(tree)
    scale = WIDTH / max(end - start, 1)
    bars = []
    for span, lane in placed:
        x, width = (span.start - start) * scale, max(((span.end or end) - span.start) * scale, 1.0)
        label = title(span)
        took = duration((span.end or end) - span.start)
        letters = int(width / 6.5) - 1
        text = ""
        if letters >= 4:
            text = f'<text x="{x + 4:.1f}" y="{lane * LANE + 12}">{esc(one_line(label, letters))}</text>'
        bars.append(
            f"<g><title>{esc(one_line(label, 120))} · {took} · {span.status}</title>"
            f'<rect class="bar t-{span.type} is-{span.status}" x="{x:.2f}" y="{lane * LANE}" width="{width:.2f}" '
            f'height="{LANE - 3}" rx="2"/>{text}</g>'
        )
    height = (max(lane for _, lane in placed) + 1) * LANE
    axis = "".join(_tick(start, end, part / 4, height) for part in range(5))
    note = f"<p>{left_out:,} spans are not drawn.</p>" if left_out else ""
    return (
        f'<svg class="flame" role="img" aria-label="spans over time" viewBox="0 0 {WIDTH} {height + 16}">'
        f"{axis}{''.join(bars)}</svg>{note}"
    )


def _extent(tree: Tree) -> tuple[int, int]:
    spans = list(tree.spans.values())
    return min(span.start for span in spans), max(span.end or span.start for span in spans)


def _place(tree: Tree) -> tuple[list[tuple[SpanNode, int]], int]:
    if not tree.spans:
        return [], 0
    last = _extent(tree)[1]
    lanes: dict[str, int] = {}
    busy_until: dict[int, int] = {}
    placed: list[tuple[SpanNode, int]] = []
    left_out = 0
    for span in sorted(tree.spans.values(), key=lambda span: (span.start, span.seq)):
        lane = lanes[span.parent] + 1 if span.parent in lanes else 0
        while busy_until.get(lane, span.start) > span.start:
            lane += 1
        lanes[span.id] = lane
        busy_until[lane] = span.end or last
        if lane < LANES and len(placed) < BARS:
            placed.append((span, lane))
        else:
            left_out += 1
    return placed, left_out


def _tick(start: int, end: int, part: float, height: int) -> str:
    x, moment = part * WIDTH, duration(int((end - start) * part)) if part else "0"
    anchor = "start" if part == 0 else "end" if part == 1 else "middle"
    return (
        f'<line class="tick" x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{height}"/>'
        f'<text class="tick" x="{x:.0f}" y="{height + 12}" text-anchor="{anchor}">{moment}</text>'
    )
