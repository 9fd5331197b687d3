"""What the log, the widget's channel and the frame of a large run cost."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import fleet_rlm
from fleet_rlm.core.events import Event, SpanEnd, SpanStart, Usage
from fleet_rlm.core.log import RunLog, Subscriber
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

WRITING = (
    "By profile an event is written in 5 us of processor time: 1.8 us to look for secrets in its line, 1.5 us for the "
    "system call, 0.4 us to encode it, the rest for lock, number and lists. Time during which the thread waits for a "
    "processor while it writes counts, too."
)

CELL = """
for start in range(0, {queries}, 333):
    llm_query_batched([f"question {{i}}" for i in range(start, start + 333)])
"""


def rows(quick: bool) -> list[Row]:
    """Runs of ten thousand events, watched by a widget; a frame of a hundred thousand spans."""
    n, queries = (1, QUERIES // 10) if quick else (5, QUERIES)
    with home():
        usual = [_run(queries, QUERY_S) for _ in range(n)]
        fastest = [_run(queries, 0.0) for _ in range(n)]
    traffic = figure([float(one.bytes) for one in usual])
    written = figure([one.writing for one in usual])
    gaps = sum(one.gaps for one in usual + fastest)
    log = Run(_log(SPANS // (10 if quick else 1)))
    frame = figure([timed(log.spans) for _ in range(1 if quick else 5)])
    work = f"{EVENTS:,}-event run of {QUERY_S * 1000:.0f} ms queries, {WIDTH} wide"
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
            f"{work}: writing the log (numbered, searched for secrets, encoded, on disk), of run time",
            "%",
            written,
            bars=[at_most("<= 5 % (log write)", written.value, 5)],
            limit=WRITING,
        ),
        Row(
            f"{work}: all that hangs on an event (the log, the tree, the note to the widget), of run time",
            "%",
            figure([one.emitting for one in usual]),
        ),
        Row(
            f"{EVENTS:,}-event run, LM at zero latency: writing the log, of run time",
            "%",
            figure([one.writing for one in fastest]),
        ),
        Row(f"spans() of {SPANS:,} spans", "s", frame, bars=[at_most("<= 1 s", frame.value, 1.0)], limit=FRAME),
    ]


@dataclass(frozen=True)
class Watched:
    """Bytes to the page, gaps in what it got, and shares of the run's time in per cent.

    `emitting` is the time in the log with all that hangs on it, `writing` without the subscribers' part.
    """

    bytes: int
    gaps: int
    emitting: float
    writing: float


def _run(queries: int, delay: float) -> Watched:
    engine = Engine([CELL.format(queries=queries), "SUBMIT(answer='done')"], delay)
    sent: list[dict[str, Any]] = []
    whole = threading.Event()

    def send(envelope: dict[str, Any]) -> None:
        sent.append(envelope)
        if any(item["kind"] == "run.end" for item in envelope["items"]):
            whole.set()

    with _timed_emits() as (emits, tellings):
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
    emitting, telling = (100 * sum(spent) / seconds for spent in (emits, tellings))
    return Watched(sum(len(json.dumps(envelope)) for envelope in sent), gaps, emitting, emitting - telling)


@contextlib.contextmanager
def _timed_emits() -> Iterator[tuple[list[float], list[float]]]:
    """Seconds of each outermost RunLog.emit, and of each subscriber (tree, widget, ...) inside one."""
    emit, subscribe = RunLog.emit, RunLog.subscribe
    emits: list[float] = []
    tellings: list[float] = []
    inside = threading.local()

    def timed_emit(self: RunLog, event: Event) -> Event:
        if getattr(inside, "emitting", False):
            return emit(self, event)
        inside.emitting, begin = True, time.perf_counter()
        try:
            return emit(self, event)
        finally:
            emits.append(time.perf_counter() - begin)
            inside.emitting = False

    def timed_subscribe(self: RunLog, subscriber: Subscriber, since: int | None = None) -> Callable[[], None]:
        def told(event: Event) -> None:
            begin = time.perf_counter()
            subscriber(event)
            if getattr(inside, "emitting", False):
                tellings.append(time.perf_counter() - begin)

        return subscribe(self, told, since)

    RunLog.emit, RunLog.subscribe = timed_emit, timed_subscribe  # type: ignore[method-assign]
    try:
        yield emits, tellings
    finally:
        RunLog.emit, RunLog.subscribe = emit, subscribe  # type: ignore[method-assign]


def _log(spans: int) -> RunLog:
    log = RunLog("bench")
    for number in range(1, spans + 1):
        span, parent = f"s{number}", f"s{number // 10}" if number > 9 else None
        attrs = {"model": "openai/m"}
        log.emit(SpanStart(span=span, parent=parent, type="llm", name="query", attrs=attrs, input=f"question {number}"))
        usage = Usage(llm_calls=1, tokens_in=100, tokens_out=20, tokens_cached=0, cost_usd=None)
        log.emit(SpanEnd(span=span, status="ok", output=f"answer {number}", usage=usage))
    return log
