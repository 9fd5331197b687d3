"""A small recorded run, and ways to look into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleet_rlm.core import events as ev
from fleet_rlm.core.journal import Journal
from fleet_rlm.core.log import RunLog

START = ev.RunStart(task="What?", mode="agent", model="m")
ONE = ev.Usage(llm_calls=1, tokens_in=10, tokens_out=1)


def call(log: RunLog, name: str = "query", key: str | None = None, reply: str | None = "re", **end: Any) -> None:
    """One model call; without a reply it fails."""
    with log.span("llm", name, input=key, attrs={} if key is None else {"key": key}) as span:
        span.output, span.usage = reply, end.get("usage", ONE)
        if reply is None:
            span.fail("ModelError", "refused")


def recorded(tmp_path: Path | None = None) -> RunLog:
    """A turn of two steps; the first has a tool with one cell of two queries."""
    log = RunLog("r1", tmp_path)
    log.emit(START)
    with log.span("turn", "agent"):
        with log.span("step", "step 1"):
            call(log, "decide")
            with log.span("tool", "execute_code") as tool, log.span("code", "sandbox-1") as code:
                call(log, key="a", reply="A")
                call(log, key="b", reply="B")
                code.output = tool.output = "AB"
        with log.span("step", "step 2"):
            call(log, "decide")
    return log


def journal(log: RunLog, **options: Any) -> Journal:
    return Journal(log.events_since(0), **options)


def span(log: RunLog, type: str, nth: int = 0) -> str:
    starts = [event for event in log.events_since(0) if isinstance(event, ev.SpanStart) and event.type == type]
    return str(starts[nth].span)
