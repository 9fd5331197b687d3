"""Runs and spans as they are told: from rows of the store, the live end of a run, and the tree of its events."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import msgspec

from fleet_rlm.core.events import ApprovalAsk, decode
from fleet_rlm.core.tree import SpanNode, Tree
from fleet_rlm.server.services.runs.feed import Batch
from fleet_rlm.server.services.runs.models import Ask, Run, Span, Usage

if TYPE_CHECKING:
    from fleet_rlm.server.services.runs.live import Live
    from fleet_rlm.sessions.store.tables import Run as Row


def fold(tree: Tree, batch: Batch) -> None:
    """Put a batch of events into a tree."""
    for line in batch.lines:
        tree.apply(decode(line))


def run_of(row: Row, live: Live | None) -> Run:
    """A run as its row and its live end tell, whichever knows more."""
    usage = Usage(**{name: getattr(row, name) for name in Usage.model_fields})
    status = row.status
    following = row.last_seq + 1
    if live is not None:
        following = max(following, live.feed.next)
        if not live.feed.is_over:
            status = "running"
        elif live.feed.is_cut:
            status = "cut"
    plain = ("id", "parent_run", "task", "mode", "model", "sub_model", "offline", "answer", "error_type", "error")
    shown = {name: getattr(row, name) for name in plain}
    end = live.feed.end if live is not None else None
    if end is not None and live is not None and row.last_seq + 1 < live.feed.next:  # it lags, or the store is away
        status = end.status
        shown |= {"answer": end.answer, "error_type": end.error_type, "error": end.error}
    return Run(
        **shown,
        session=row.session_id,
        status=status,  # type: ignore[arg-type]
        usage=usage,
        started_at=row.started_at,
        ended_at=row.ended_at,
        asks=[] if live is None else [_ask_of(event) for event in live.feed.asks.events],
        next=following,
    )


def span_of(node: SpanNode) -> Span:
    """A span as the events tell."""
    plain = ("id", "parent", "type", "name", "depth", "status", "input", "code", "output", "error_type", "error")
    return Span(
        **{name: getattr(node, name) for name in plain},
        started_at=_moment(node.start),
        ended_at=None if node.end is None else _moment(node.end),
        usage=None if node.usage is None else Usage(**msgspec.to_builtins(node.usage)),
        attrs=node.attrs,
    )


def _ask_of(event: ApprovalAsk) -> Ask:
    told = {name: getattr(event, name) for name in ("seq", "span", "tool", "question", "options")}
    return Ask(**told, asked_at=_moment(event.ts))


def _moment(microseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(microseconds / 1e6, datetime.UTC)
