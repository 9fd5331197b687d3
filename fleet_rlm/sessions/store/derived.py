"""What the events of a run say besides themselves: its spans, its artifacts, and how it ended.

Derived in the transaction that appends the events, so that the rows one queries never tell another story than the log
one replays. Doing it again with the same events changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select, update

from fleet_rlm.core import events as ev
from fleet_rlm.sessions.store.columns import moment
from fleet_rlm.sessions.store.tables import Artifact, Run, Span
from fleet_rlm.sessions.store.unit import Unit

_USAGE = ev.Usage.__struct_fields__
_NO_USAGE = dict.fromkeys(_USAGE)


async def derive(unit: Unit, run: str, events: Sequence[ev.Event]) -> None:
    """Write what these events say."""
    opened: dict[str, dict[str, Any]] = {}
    closed: dict[str, ev.SpanEnd] = {}
    artifacts: list[Artifact] = []
    for event in events:
        match event:
            case ev.SpanStart(span=str(span)):
                opened[span] = _opened(unit.identity.tenant, run, span, event)
            case ev.SpanEnd(span=str(span)) if span in opened:
                opened[span] |= _closing(event, opened[span]["attrs"])
            case ev.SpanEnd(span=str(span)):
                closed[span] = event
            case ev.Artifact():
                artifacts.append(_artifact(run, event))
    if opened:
        await unit.insert_rows(Span, list(opened.values()), again="stays")
    if closed:
        await _close(unit, run, closed)
    await unit.insert(*artifacts, again="stays")
    ends = [event for event in events if isinstance(event, ev.RunEnd)]
    if ends and not goes_on(events):
        await _end(unit, run, ends[-1])


def goes_on(events: Sequence[ev.Event]) -> bool:
    """Whether work begins here that no end follows: a run that had ended may be resumed."""
    for event in reversed(events):
        if isinstance(event, (ev.RunEnd, ev.SpanStart)):
            return isinstance(event, ev.SpanStart)
    return False


async def _close(unit: Unit, run: str, ends: dict[str, ev.SpanEnd]) -> None:
    """End spans that an earlier batch opened."""
    opened = await unit.all(select(Span).where(Span.run_id == run, Span.id.in_(ends)))
    rows = [{"run_id": run, "id": span.id, **_closing(ends[span.id], span.attrs)} for span in opened]
    await unit.update_rows(Span, rows)


async def _end(unit: Unit, run: str, end: ev.RunEnd) -> None:
    await unit.change(
        update(Run)
        .where(Run.id == run)
        .values(
            status=end.status,
            answer=msgspec.to_builtins(end.answer, enc_hook=repr),
            error_type=end.error_type,
            error=end.error,
            ended_at=moment(end.ts),
            **await _usage(unit, run),
        )
    )


async def _usage(unit: Unit, run: str) -> dict[str, Any]:
    """What all model calls used; a figure that one of them did not report is unknown, as `Usage` adds up."""
    figures = [getattr(Span, name) for name in _USAGE]
    asked = select(func.count(), *(func.sum(figure) for figure in figures), *(func.count(figure) for figure in figures))
    calls = asked.where(Span.run_id == run, Span.type == "llm", Span.llm_calls > 0)
    ((rows, *rest),) = await unit.rows(calls)
    sums, known = rest[: len(_USAGE)], rest[len(_USAGE) :]
    if not rows:
        return msgspec.structs.asdict(ev.Usage())
    return {name: sums[at] if known[at] == rows else None for at, name in enumerate(_USAGE)}


def _opened(tenant: str, run: str, span: str, event: ev.SpanStart) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "run_id": run,
        "id": span,
        "parent": event.parent,
        "seq": event.seq,
        "depth": event.depth,
        "type": event.type,
        "name": event.name,
        "status": "running",
        "started_at": moment(event.ts),
        "ended_at": None,
        "model": event.attrs.get("model"),
        "input": event.input,
        "output": None,
        "code": event.code,
        "error_type": None,
        "error": None,
        "attrs": msgspec.to_builtins(event.attrs, enc_hook=repr),  # as the log's own line has them
        **_NO_USAGE,
    }


def _closing(event: ev.SpanEnd, attrs: dict[str, Any]) -> dict[str, Any]:
    merged = {**attrs, **msgspec.to_builtins(event.attrs, enc_hook=repr)}
    return {
        "status": event.status,
        "ended_at": moment(event.ts),
        "model": merged.get("model"),
        "output": event.output,
        "error_type": event.error_type,
        "error": event.error,
        "attrs": merged,
        **(_NO_USAGE if event.usage is None else msgspec.structs.asdict(event.usage)),
    }


def _artifact(run: str, event: ev.Artifact) -> Artifact:
    return Artifact(
        run_id=run,
        id=event.id,
        name=event.name,
        mime=event.mime,
        bytes=event.bytes,
        sha256=event.sha256,
        path=event.path,
        provenance={"span": event.span} if event.span else {},
        created_at=moment(event.ts),
    )
