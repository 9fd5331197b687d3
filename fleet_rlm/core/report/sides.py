"""Two runs side by side, as lines of text and as a table: what they share is told once, or folded where it is much.

Where two texts differ far from their beginning, as prompts do, each side is shown from shortly before that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_rlm.core.journal import CALLS_LEFT
from fleet_rlm.core.report.facts import STATUS, count, cut, one_line
from fleet_rlm.core.report.lines import gist, title
from fleet_rlm.core.report.markup import esc
from fleet_rlm.core.tree import SpanNode, Tree

if TYPE_CHECKING:
    from fleet_rlm.core.diff import Diff, Pair

PLACE, SIDE = 38, 36
"""Characters of the two kinds of columns: together they fit the output of a notebook's cell."""

FEW = 2
"""Places that are the same and shown all the same."""

FIELD, TABLE = 1_000, 120_000
"""Characters of one unfolded text, and of all of the table."""

PARTED = "here they part"

LEFT = 'style="text-align: left"'
"""Notebooks set the cells of tables to the right."""

CELL, PLACED = f"td {LEFT}", 'td style="text-align: left; white-space: nowrap"'
COLUMNS = "".join(f"<th {LEFT}>{name}</th>" for name in ("", "span", "a", "b"))

_FIELD_NAME = re.compile(r"\[\[ ## \w+ ## \]\]")


@dataclass(frozen=True)
class Row:
    """One line: a place, or `same` of them that need not be told (then `pair` is the first)."""

    pair: Pair
    same: int = 0


def rows(pairs: list[Pair]) -> Iterator[Row]:
    """The places that differ or lie above one that does, and between them what is the same."""
    shared, at = _shared(pairs), 0
    while at < len(pairs):
        until = at
        while until < len(pairs) and shared[until] and pairs[until].level >= pairs[at].level:
            until += 1
        if until - at > FEW:
            yield Row(pairs[at], until - at)
        else:
            until = max(until, at + 1)
            yield from map(Row, pairs[at:until])
        at = until


def _shared(pairs: list[Pair]) -> list[bool]:
    """Of each place, whether it and all below it is the same."""
    shared = [pair.differs is None for pair in pairs]
    waiting: list[int] = []  # places whose parent was not met yet, the nearest last
    for at in range(len(pairs) - 1, -1, -1):
        while waiting and pairs[waiting[-1]].level > pairs[at].level:
            shared[at] &= shared[waiting.pop()]
        waiting.append(at)
    return shared


def text(diff: Diff) -> str:
    """Lines of at most about 115 characters."""
    parting, lines = diff.parts, [f"a: {_head(diff.a)}", f"b: {_head(diff.b)}", ""]
    for row in rows(diff.pairs):
        pair, inset = row.pair, "  " * row.pair.level
        if row.same:
            lines.append(f"  {inset}({_same(row)})")
            continue
        if pair is parting:
            lines.append(f"  {inset}↓ {PARTED}")
        left, right = told(pair, SIDE)
        label = one_line(title(pair.node), max(PLACE - len(inset), PLACE // 2))
        lines.append(f"{_mark(pair)} {inset + label:<{PLACE}} {left:<{SIDE}} {right}".rstrip())
    return "\n".join(lines)


def table(diff: Diff) -> str:
    """The same as HTML that needs no styles or scripts; a place that differs unfolds to both texts."""
    parting, room = diff.parts, TABLE
    head = "".join(f"<p>{name}: {esc(_head(tree))}</p>" for name, tree in (("a", diff.a), ("b", diff.b)))
    parts = [f"{head}<table><thead><tr>{COLUMNS}</tr></thead><tbody>"]
    for row in rows(diff.pairs):
        part = _line(row, is_parting=row.pair is parting)
        room -= len(part)
        if room < 0:
            parts.append(f"<tr><{CELL}></td><{CELL}>… and more, see frame()</td><{CELL}></td><{CELL}></td></tr>")
            break
        parts.append(part)
    return f'<div class="flt-diff">{"".join(parts)}</tbody></table></div>'


def _line(row: Row, *, is_parting: bool) -> str:
    pair, inset = row.pair, "&emsp;" * row.pair.level
    if row.same:
        return f'<tr><{CELL}></td><{PLACED}>{inset}…</td><{CELL} colspan="2"><small>{_same(row)}</small></td></tr>'
    name = esc(title(pair.node)).replace(" ", "&nbsp;")
    place = f"{inset}<b>{name}</b>&nbsp;←&nbsp;{PARTED}" if is_parting else f"{inset}{name}"
    mark = f"<{CELL}>{esc(_mark(pair).strip()).replace('|', '≠')}</td>"
    left, right = told(pair, 2 * SIDE)
    if pair.differs is None:
        return f'<tr>{mark}<{PLACED}>{place}</td><{CELL} colspan="2">{esc(left)}</td></tr>'
    sides = ((left, pair.a), (right, pair.b))
    return f"<tr>{mark}<{PLACED}>{place}</td>{''.join(_cell(pair, line, node) for line, node in sides)}</tr>"


def _cell(pair: Pair, line: str, node: SpanNode | None) -> str:
    whole = cut(_whole(node, pair.differs) if node is not None else "", FIELD)
    if whole in ("", line):
        return f"<{CELL}>{esc(line)}</td>"
    return f"<{CELL}><details><summary>{esc(line)}</summary><pre>{esc(whole)}</pre></details></td>"


def told(pair: Pair, limit: int) -> tuple[str, str]:
    """Both sides in at most `limit` characters each; what they share stands on the left and takes the room of both."""
    if pair.a is None or pair.b is None:
        return (one_line(gist(pair.a, limit), limit) if pair.a else "-"), (
            one_line(gist(pair.b, limit), limit) if pair.b else "-"
        )
    if pair.differs is None:
        return one_line(gist(pair.a, 2 * limit), 2 * limit), ""
    return _apart(_whole(pair.a, pair.differs), _whole(pair.b, pair.differs), limit)


def _apart(a: str, b: str, limit: int) -> tuple[str, str]:
    """Two texts that differ, each on one line from its beginning, or from shortly before they do."""
    words, others = (_FIELD_NAME.sub(" ", text).split() for text in (a, b))
    pairs = list(zip(words, others, strict=False))
    parted = [at for at, (one, other) in enumerate(pairs) if one != other] or [len(pairs)]
    telling = (at for at in parted if at == len(pairs) or not all(word[0].isdigit() for word in pairs[at]))
    at = next(telling, parted[0])  # a prompt begins with counts, and a count tells little
    alike = _alike(*pairs[at]) if at < len(pairs) else 0
    one, other = (_from(" ".join(side), len(" ".join(side[:at])) + alike, limit) for side in (words, others))
    return one, other


def _alike(a: str, b: str) -> int:
    """How many characters two words begin alike with."""
    return next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def _from(text: str, place: int, limit: int) -> str:
    """The text from its beginning, or where that leaves no room for what stands at `place`, from shortly before it."""
    begin = text.rfind(" ", 0, place - limit // 4) + 1 or place - limit // 4
    return one_line(text if place <= limit // 2 else f"…{text[begin:]}", limit)


def _whole(node: SpanNode, field: str | None) -> str:
    text = str(getattr(node, field or "", None) or node.output or node.code or node.status)
    return CALLS_LEFT.sub("max … sub-LLM calls", text) if field == "input" else text


def _mark(pair: Pair) -> str:
    return " " if pair.differs is None else "<" if pair.b is None else ">" if pair.a is None else "|"


def _same(row: Row) -> str:
    return f"{count(row.same, 'span')} the same"


def _head(tree: Tree) -> str:
    start = tree.start
    parent = f", branched off {start.parent_run} at {start.parent_span}" if start and start.parent_run else ""
    return f"{tree.run} ({STATUS[tree.status]}, {count(tree.usage.llm_calls, 'model call')}{parent})"
