"""What a run asked a person and what was decided: a line for the span that asked, a table for the page."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from fleet_rlm.core.report.facts import duration, one_line
from fleet_rlm.core.report.markup import esc
from fleet_rlm.core.tree import Ask, Tree

DECISIONS = {"once": "allowed once", "always": "allowed always", "no": "declined"}
"""The same words as in the live view (`labextension/src/ui/AskPanel.tsx`)."""

NOTE = 2_000
"""Characters of a note that are shown."""


def decided(ask: Ask, tree: Tree) -> str:
    """The decision in two words, or why there is none."""
    if ask.answer is not None:
        return DECISIONS.get(ask.answer, one_line(ask.answer, 80))
    return "waits for an answer" if tree.asks.get(ask.span) is ask else "no answer"


def ask_line(ask: Ask, tree: Tree) -> str:
    """Question, decision, by whom, and the note that came with it; when is not told."""
    by = f" by {esc(ask.by)}" if ask.by else ""
    note = f": {esc(one_line(ask.note, NOTE))}" if ask.note else ""
    return f"<p>{esc(ask.question)} <b>{esc(decided(ask, tree))}</b>{by}{note}</p>"


def decisions_table(tree: Tree) -> str:
    """All questions in the order they were asked, or "" where there was none."""
    rows = [_row(ask, tree) for ask in _asks(tree)]
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("asked, UTC", "question", "decision", "after", "by"))
    return f'<table class="asks"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _asks(tree: Tree) -> Iterator[Ask]:
    yield from sorted((ask for span in list(tree.spans.values()) for ask in span.asks), key=lambda ask: ask.seq)


def _when(ask: Ask, tree: Tree) -> str:
    """The time of day; with the date where that is not the one at the head of the page."""
    at = _utc(ask.asked)
    is_same_day = tree.start is not None and _utc(tree.start.ts).date() == at.date()
    return f"{at:%H:%M:%S}" if is_same_day else f"{at:%Y-%m-%d %H:%M:%S}"


def _utc(microseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(microseconds / 1e6, tz=datetime.UTC)


def _row(ask: Ask, tree: Tree) -> str:
    after = "" if ask.answered is None else duration(ask.answered - ask.asked)
    note = f"<p>{esc(one_line(ask.note, NOTE))}</p>" if ask.note else ""
    by = "" if ask.answer is None else esc(ask.by) if ask.by else "the user"
    cells = (
        f"<time>{_when(ask, tree)}</time>",
        f"{esc(ask.question)}<br><small>{esc(ask.tool)}</small>",
        f'<b class="is-{ask.answer if ask.answer in DECISIONS else "open"}">{esc(decided(ask, tree))}</b>{note}',
        after,
        by,
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
