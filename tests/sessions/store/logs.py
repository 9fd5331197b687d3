"""Logs of runs as tests need them."""

from __future__ import annotations

from pathlib import Path

from fleet_rlm.core.events import Note, RunEnd, RunStart, Usage
from fleet_rlm.core.log import RunLog


def begun(run: str = "r1", directory: Path | None = None) -> RunLog:
    """A log that holds its first event."""
    log = RunLog(run, directory)
    log.emit(RunStart(task="Which deploy broke checkout?", mode="agent", model="openai/m"))
    return log


def call(log: RunLog, name: str = "query", tokens: int = 3) -> None:
    """One model call: two events."""
    with log.span("llm", name, attrs={"model": "openai/m"}) as span:
        span.usage = Usage(llm_calls=1, tokens_in=tokens, tokens_out=1, tokens_cached=0, cost_usd=0.5)
        span.output = "yes"


def notes(log: RunLog, count: int) -> None:
    """Events that say nothing."""
    for number in range(count):
        log.emit(Note(level="info", text=f"note {number}"))


def end(log: RunLog) -> None:
    """The run is answered."""
    log.emit(RunEnd(status="ok", answer={"deploy": 7}))
    log.close()
