"""What a cell and a callback cost beyond their own work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from fleet_rlm.core.loop import run_sync
from fleet_rlm.sandbox.local import LocalSandbox
from tests.benchmarks.measure import Bar, Figure, Row, at_most, figure
from tests.benchmarks.peers import DENO, INTERPRETERS, LOCAL, PEERS, RLMS, missing, rlms_repl

OURS, ASYNC = "ours", "ours, async tool"
Execute = Callable[[str], Any]

ROUND_TRIPS = """
import time
begin = time.perf_counter()
for _ in range({n}):
    echo(x=1)
print((time.perf_counter() - begin) / {n})
"""

AT_ONCE = """
import time
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(64) as threads:
    list(threads.map(lambda i: echo(x=i), range(64)))  # starts the threads
    begin = time.perf_counter()
    answers = list(threads.map(lambda i: echo(x=i), range(64)))
    elapsed = time.perf_counter() - begin
assert answers == list(range(64)), answers
print(elapsed)
"""


def echo(x: int) -> int:
    """The host tool that all are given."""
    return x


async def aecho(x: int) -> int:
    """The same as a coroutine."""
    return x


def rows(quick: bool) -> list[Row]:
    """An empty cell; a callback; 64 callbacks at once. All take turns: a busy moment of the machine hits all alike."""
    rounds, n = (2, 10) if quick else (12, 25)
    with contextlib.ExitStack() as opened:
        sandbox = opened.enter_context(LocalSandbox(tools={"echo": echo}))
        run: dict[str, Execute] = {
            OURS: sandbox.execute,
            ASYNC: opened.enter_context(LocalSandbox(tools={"echo": aecho})).execute,
        }
        reasons = {name: reason for name in PEERS if (reason := missing(name))}
        run |= {name: _opened(name, opened) for name in PEERS if name not in reasons}
        threaded = {name: execute for name, execute in run.items() if name not in (DENO, ASYNC)}
        cells = _in_turn(run, rounds, lambda execute: [timed_without_gc(lambda: execute("pass")) for _ in range(n)])
        awaited = [seconds for _ in range(rounds) for seconds in run_sync(_awaited(sandbox, n))]
        calls = _in_turn(run, rounds, lambda execute: [float(execute(ROUND_TRIPS.format(n=n)))])
        at_once = _in_turn(threaded, 2 if quick else 20, lambda execute: [float(execute(AT_ONCE))])
    cell, call, many = (_peers(found, reasons) for found in (cells, calls, at_once))
    means = f"mean over {n} in a row, {rounds} times"
    ours, asynchronous = figure(calls[OURS], means), figure(calls[ASYNC], means)
    whole = figure(cells[OURS])
    return [
        Row(
            "empty cell",
            "s",
            whole,
            cell,
            [at_most("<= 0.35 ms", whole.value, 0.35e-3), _fastest(whole, cell)],
            "By profile of a 0.20 ms cell, the event loop works 0.09 ms (request, deadline, answer), the guest 0.07 ms "
            "(compiling, keeping output, looking for new files), the caller 0.015 ms; the rest is the kernel waking "
            "two processes and, because the blocking face hands over to the loop, two threads. LocalInterpreter wakes "
            "two processes and has no loop, deadline or files. A run awaits its cells on the loop: see the next row.",
        ),
        Row("empty cell, awaited on the loop as a run does", "s", figure(awaited), cell),
        Row(
            "callback to a sync tool, round trip",
            "s",
            ours,
            call,
            [at_most("<= 0.30 ms", ours.value, 0.30e-3), _fastest(ours, call)],
            "A sync tool may block for as long as it likes and so runs on a thread, which writes the answer itself: "
            "three wake-ups, against two for the next row.",
        ),
        Row("callback to an async tool, round trip", "s", asynchronous, call),
        Row(
            "64 concurrent callbacks",
            "s",
            figure(at_once[OURS]),
            {**many, DENO: "no threads in the guest"},
            [at_most("<= 30 ms", figure(at_once[OURS]).value, 0.030)],
            "64 threads in the guest and 64 on the host share two cores.",
        ),
    ]


def _fastest(ours: Figure, peers: dict[str, Figure | str]) -> Bar:
    others = [one.value for name in (DENO, LOCAL) if isinstance(one := peers[name], Figure)]
    return at_most("faster than every out-of-process peer", ours.value, min(others, default=0.0))


async def _awaited(sandbox: LocalSandbox, n: int) -> list[float]:
    found = []
    for _ in range(n):
        begin = time.perf_counter()
        await sandbox.aexecute("pass")
        found.append(time.perf_counter() - begin)
    return found


def _in_turn(run: dict[str, Execute], rounds: int, measure: Callable[[Execute], list[float]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in run}
    for execute in run.values():
        measure(execute)  # warms all up
    for _ in range(rounds):
        for name, execute in run.items():
            found[name] += measure(execute)
    return found


def _peers(found: dict[str, list[float]], reasons: dict[str, str]) -> dict[str, Figure | str]:
    return {**reasons, **{name: figure(values) for name, values in found.items() if name in PEERS}}


def timed_without_gc(work: Callable[[], object]) -> float:
    """Seconds one call takes; for calls so short that collecting before each would be most of the run."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _opened(name: str, opened: contextlib.ExitStack) -> Execute:
    if name == RLMS:
        repl = rlms_repl(custom_tools={"echo": echo})
        opened.callback(repl.cleanup)
        return lambda code: str(repl.execute_code(code).stdout)
    interpreter = INTERPRETERS[name](tools={"echo": echo})
    interpreter.start()
    opened.callback(interpreter.shutdown)
    execute: Execute = interpreter.execute
    return execute
