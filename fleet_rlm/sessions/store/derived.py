"""What the events of a run say besides themselves: its spans, its artifacts, and how it ended.

Derived in the transaction that appends the events, so that the rows one queries never tell another story than the log
one replays. Doing it again with the same events changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import select, update

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
    usage = ev.Usage()
    for span in await unit.all(select(Span).where(Span.run_id == run, Span.type == "llm")):
        if span.llm_calls is not None:
            usage += ev.Usage(**{name: getattr(span, name) for name in _USAGE})
    await unit.change(
        update(Run)
        .where(Run.id == run)
        .values(
            status=end.status,
            answer=msgspec.to_builtins(end.answer, enc_hook=repr),
            error_type=end.error_type,
            error=end.error,
            ended_at=moment(end.ts),
            **msgspec.structs.asdict(usage),
        )
    )


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
        "attrs": event.attrs,
        **_NO_USAGE,
    }


def _closing(event: ev.SpanEnd, attrs: dict[str, Any]) -> dict[str, Any]:
    merged = {**attrs, **event.attrs}
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
