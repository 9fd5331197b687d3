"""What the log, the widget's channel and the frame of a large run cost."""

from __future__ import annotations

import itertools
import json
import threading
import time
from typing import Any

import fleet_rlm
from fleet_rlm.core.events import Event, SpanEnd, SpanStart, Usage
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.run import Run
from fleet_rlm.notebook.channel import Channel
from tests.benchmarks.measure import Bar, Row, at_most, figure, timed
from tests.benchmarks.runs import home
from tests.benchmarks.scripted import Engine

EVENTS = 10_000
QUERIES = 3_330  # each is a start, an end and a booking
SPANS = 100_000

CELL = """
for start in range(0, {queries}, 333):
    llm_query_batched([f"question {{i}}" for i in range(start, start + 333)])
"""


def rows(quick: bool) -> list[Row]:
    """A run of ten thousand events, watched by a widget; a frame of a hundred thousand spans."""
    with home():
        measured = [_run(QUERIES // (10 if quick else 1)) for _ in range(1 if quick else 3)]
    traffic = figure([float(one[0]) for one in measured])
    share = figure([100 * one[1] for one in measured])
    gaps = sum(one[2] for one in measured)
    log = Run(_log(SPANS // (10 if quick else 1)))
    frame = figure([timed(log.spans) for _ in range(1 if quick else 5)])
    return [
        Row(
            f"{EVENTS:,}-event run: widget traffic",
            "bytes",
            traffic,
            bars=[at_most("<= 3 MB", traffic.value, 3_000_000), Bar(f"no gap ({gaps} were)", gaps == 0)],
        ),
        Row(
            f"{EVENTS:,}-event run, LM at zero latency: log write, of run time",
            "%",
            share,
            bars=[at_most("<= 5 %", share.value, 5)],
        ),
        Row(f"spans() of {SPANS:,} spans", "s", frame, bars=[at_most("<= 1 s", frame.value, 1.0)]),
    ]


def _run(queries: int) -> tuple[int, float, int]:
    """Bytes to the page, the share of time spent emitting, and gaps in what the page got."""
    engine = Engine([CELL.format(queries=queries), "SUBMIT(answer='done')"])
    sent: list[dict[str, Any]] = []
    whole = threading.Event()

    def send(envelope: dict[str, Any]) -> None:
        sent.append(envelope)
        if any(item["kind"] == "run.end" for item in envelope["items"]):
            whole.set()

    with _timed_emits() as spent:
        begin = time.perf_counter()
        run = fleet_rlm.start("What?", context="x" * 1_000, lm=engine.lm(), mode="rlm_only", budget=queries + 10)
        channel = Channel(run.log, send)
        run.wait()
        seconds = time.perf_counter() - begin
    assert whole.wait(60)
    channel.close()
    numbers = [item["seq"] for envelope in sent for item in envelope["items"]]
    gaps = sum(after != before + 1 for before, after in itertools.pairwise(numbers))
    gaps += numbers[0] != 0 or len(numbers) != len(run.log)
    return sum(len(json.dumps(envelope)) for envelope in sent), sum(spent) / seconds, gaps


class _timed_emits:
    """Seconds of each outermost RunLog.emit, with all that hangs on it: redaction, spool, tree and widget."""

    def __enter__(self) -> list[float]:
        self._plain = plain = RunLog.emit
        spent: list[float] = []
        inside = threading.local()

        def emit(log: RunLog, event: Event) -> Event:
            if getattr(inside, "emitting", False):
                return plain(log, event)
            inside.emitting, begin = True, time.perf_counter()
            try:
                return plain(log, event)
            finally:
                spent.append(time.perf_counter() - begin)
                inside.emitting = False

        RunLog.emit = emit  # type: ignore[method-assign]
        return spent

    def __exit__(self, *_: object) -> None:
        RunLog.emit = self._plain  # type: ignore[method-assign]


def _log(spans: int) -> RunLog:
    log = RunLog("bench")
    for number in range(1, spans + 1):
        span, parent = f"s{number}", f"s{number // 10}" if number > 9 else None
        attrs = {"model": "openai/m"}
        log.emit(SpanStart(span=span, parent=parent, type="llm", name="query", attrs=attrs, input=f"question {number}"))
        usage = Usage(llm_calls=1, tokens_in=100, tokens_out=20, tokens_cached=0, cost_usd=None)
        log.emit(SpanEnd(span=span, status="ok", output=f"answer {number}", usage=usage))
    return log
