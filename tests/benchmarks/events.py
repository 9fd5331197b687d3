"""What the log, the widget's channel and the frame of a large run cost."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fleet_rlm
from fleet_rlm.core.events import Event, SpanEnd, SpanStart, Usage
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.run import Run
from fleet_rlm.notebook.channel import Channel
from tests.benchmarks.measure import Bar, Row, at_most, figure, timed
from tests.benchmarks.runs import home
from tests.benchmarks.scripted import QUERY_S, Engine

EVENTS = 10_000
QUERIES = 3_330  # each is a start, an end and a booking
SPANS = 100_000
WIDTH = 64

FRAME = (
    "On a quiet machine 0.35 s, column by column: a third is reading the spans' attributes, a third the JSON of "
    "`attrs`, a third pandas making its arrays of strings."
)

CELL = """
for start in range(0, {queries}, 333):
    llm_query_batched([f"question {{i}}" for i in range(start, start + 333)])
"""


def rows(quick: bool) -> list[Row]:
    """Runs of ten thousand events, watched by a widget; a frame of a hundred thousand spans."""
    n, queries = (1, QUERIES // 10) if quick else (3, QUERIES)
    with home():
        usual = [_run(queries, QUERY_S) for _ in range(n)]
        fastest = [_run(queries, 0.0) for _ in range(n)]
    traffic = figure([float(one.bytes) for one in usual])
    share = figure([one.emitting for one in usual])
    gaps = sum(one.gaps for one in usual + fastest)
    log = Run(_log(SPANS // (10 if quick else 1)))
    frame = figure([timed(log.spans) for _ in range(1 if quick else 5)])
    return [
        Row(
            f"{EVENTS:,}-event run: widget traffic",
            "bytes",
            traffic,
            bars=[at_most("<= 3 MB", traffic.value, 3_000_000), Bar(f"no gap ({gaps} were)", gaps == 0)],
            limit="305 bytes an event. Each model call's span carries the key under which its reply is found again "
            "when a run is resumed (30 bytes, 0.1 MB in all); the page does not need it.",
        ),
        Row(
            f"{EVENTS:,}-event run of 50 ms queries, {WIDTH} wide: emitting events, of run time",
            "%",
            share,
            bars=[at_most("<= 5 % (log write)", share.value, 5)],
            limit="Measured is all that hangs on an event, about 20 us: by profile, writing it to disk takes a quarter "
            "(1 to 2 % of the run time), looking for secrets a third, the tree a quarter, numbering and bounding it "
            "the rest. Time during which the thread waits for a processor inside an emit counts, too.",
        ),
        Row(
            f"{EVENTS:,}-event run, LM at zero latency: emitting events, of run time",
            "%",
            figure([one.emitting for one in fastest]),
        ),
        Row(f"spans() of {SPANS:,} spans", "s", frame, bars=[at_most("<= 1 s", frame.value, 1.0)], limit=FRAME),
    ]


@dataclass(frozen=True)
class Watched:
    """Bytes to the page, gaps in what it got, and the share of the run's time spent emitting, in per cent."""

    bytes: int
    gaps: int
    emitting: float


def _run(queries: int, delay: float) -> Watched:
    engine = Engine([CELL.format(queries=queries), "SUBMIT(answer='done')"], delay)
    sent: list[dict[str, Any]] = []
    whole = threading.Event()

    def send(envelope: dict[str, Any]) -> None:
        sent.append(envelope)
        if any(item["kind"] == "run.end" for item in envelope["items"]):
            whole.set()

    with _timed_emits() as spent:
        begin = time.perf_counter()
        run = fleet_rlm.start(
            "What?", context="x", lm=engine.lm(), mode="rlm_only", budget=queries + 10, concurrency=WIDTH
        )
        channel = Channel(run.log, send)
        run.wait()
        seconds = time.perf_counter() - begin
    assert whole.wait(60)
    channel.close()
    numbers = [item["seq"] for envelope in sent for item in envelope["items"]]
    gaps = sum(after != before + 1 for before, after in itertools.pairwise([-1, *numbers, len(run.log)]))
    return Watched(sum(len(json.dumps(envelope)) for envelope in sent), gaps, 100 * sum(spent) / seconds)


@contextlib.contextmanager
def _timed_emits() -> Iterator[list[float]]:
    """Seconds of each outermost RunLog.emit, with all that hangs on it: redaction, spool, tree and widget."""
    plain = RunLog.emit
    spent: list[float] = []
    inside = threading.local()

    def emit(self: RunLog, event: Event) -> Event:
        if getattr(inside, "emitting", False):
            return plain(self, event)
        inside.emitting, begin = True, time.perf_counter()
        try:
            return plain(self, event)
        finally:
            spent.append(time.perf_counter() - begin)
            inside.emitting = False

    RunLog.emit = emit  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        RunLog.emit = plain  # type: ignore[method-assign]


def _log(spans: int) -> RunLog:
    log = RunLog("bench")
    for number in range(1, spans + 1):
        span, parent = f"s{number}", f"s{number // 10}" if number > 9 else None
        attrs = {"model": "openai/m"}
        log.emit(SpanStart(span=span, parent=parent, type="llm", name="query", attrs=attrs, input=f"question {number}"))
        usage = Usage(llm_calls=1, tokens_in=100, tokens_out=20, tokens_cached=0, cost_usd=None)
        log.emit(SpanEnd(span=span, status="ok", output=f"answer {number}", usage=usage))
    return log
