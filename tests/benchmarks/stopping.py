"""Stop while one model call is in flight and 24 are queued behind it."""

from __future__ import annotations

import statistics
import threading
import time

import dspy

import fleet_rlm
from fleet_rlm.core.errors import RunStopped
from fleet_rlm.core.events import SpanEnd
from tests.benchmarks.measure import Bar, Figure, Row, at_most, figure
from tests.benchmarks.peers import DENO, LOCAL, RLMS, local_interpreter
from tests.benchmarks.runs import home
from tests.benchmarks.scripted import client
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import by_role, rlm_action

CALLS = 25
CELL = f"llm_query_batched([f'question {{i}}' for i in range({CALLS})])"
WIDTH_OF_DSPY = 8


def rows(quick: bool) -> list[Row]:
    """From `run.stop()` to the end of the cell; then nothing more may reach the server."""
    n = 3 if quick else 50
    with home():
        measured = [_stopped() for _ in range(n)]
    times = [seconds for seconds, _ in measured]
    late = sum(calls for _, calls in measured)
    p95 = statistics.quantiles(times, n=20)[-1]
    bars = [
        at_most(f"cell ends <= 300 ms (p95 of {n}: {p95 * 1000:.1f} ms)", p95, 0.300),
        Bar(f"no call starts after it ({late} did)", late == 0),
    ]
    seconds, started = _dspy_stopped()
    told = f"no way to stop: its interpreter was shut down, and {started} more calls were made"
    peers: dict[str, Figure | str] = {DENO: "no way to stop", LOCAL: figure([seconds], told), RLMS: "no way to stop"}
    return [Row("Stop with a call in flight and 24 queued, until the cell has ended", "s", figure(times), peers, bars)]


def _stopped() -> tuple[float, int]:
    """Seconds until the cell's span ended, and calls that reached the server afterwards."""
    gate, ended = Gate(), threading.Event()
    script = by_role(rlm_action=rlm_action("ask", CELL), bare=Reply("late", gate=gate))
    with LMServer(script) as server:
        run = fleet_rlm.start("What?", context="x" * 1_000, lm=f"m@{server.base_url}", mode="rlm_only", concurrency=1)
        server.wait_for(2)
        cell = next(span.id for span in run.tree.spans.values() if span.type == "code")
        ends: list[float] = []

        def note(event: object) -> None:
            if isinstance(event, SpanEnd) and event.span == cell:
                ends.append(time.perf_counter())
                ended.set()

        run.log.subscribe(note)
        begin = time.perf_counter()
        run.stop()
        assert ended.wait(30)
        try:
            run.wait(30)
        except RunStopped:
            gate.open()
            server.wait_idle()
            return ends[0] - begin, server.calls - 2
        raise AssertionError("the run was not stopped")


def _dspy_stopped() -> tuple[float, int]:
    """The nearest thing plain dspy.RLM has: shut its interpreter down from another thread."""
    opened = []

    def factory() -> object:
        opened.append(local_interpreter())
        return opened[-1]

    script = by_role(rlm_action=rlm_action("ask", CELL), bare=Reply("late", delay=0.1))
    with LMServer(script) as server:
        rlm = dspy.RLM("context, query -> answer", interpreter_factory=factory)
        ends: list[float] = []

        def forward() -> None:
            try:
                with dspy.context(lm=client(server.base_url), adapter=dspy.ChatAdapter()):
                    rlm(context="x", query="What?")
            except Exception:  # whatever it raises is its end
                ends.append(time.perf_counter())

        thread = threading.Thread(target=forward)
        thread.start()
        server.wait_for(1 + WIDTH_OF_DSPY)
        calls, begin = server.calls, time.perf_counter()
        opened[-1].shutdown()
        thread.join(60)
        server.wait_idle()
        time.sleep(0.5)  # its threads go on; what they still start is what is counted
        server.wait_idle()
        return ends[0] - begin, server.calls - calls
