"""What a cell and a callback cost beyond their own work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fleet_rlm.sandbox.local import LocalSandbox
from tests.benchmarks.measure import Figure, Row, at_most, figure
from tests.benchmarks.peers import DENO, INTERPRETERS, LOCAL, RLMS, missing, rlms_repl

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
    """An empty cell; a callback; 64 callbacks at once."""
    n = 20 if quick else 300
    with LocalSandbox(tools={"echo": echo}) as sandbox:
        cell = _cells(sandbox.execute, n)
        call = _calls(sandbox.execute, n)
        at_once = figure([float(sandbox.execute(AT_ONCE)) for _ in range(3 if quick else 20)])
    with LocalSandbox(tools={"echo": aecho}) as sandbox:
        async_call = _calls(sandbox.execute, n)
    peers = _peers(n, quick)
    empty = {name: one if isinstance(one, str) else one[0] for name, one in peers.items()}
    calls = {name: one if isinstance(one, str) else one[1] for name, one in peers.items()}
    many = {name: one if isinstance(one, str) else one[2] for name, one in peers.items()}
    return [
        Row(
            "empty cell",
            "s",
            cell,
            empty,
            [at_most("<= 0.35 ms", cell.value, 0.35e-3), _fastest(cell, empty)],
            "By profile, the event loop works 0.11 ms for a cell (request, deadline, answer), the change from the "
            "caller's thread to it and back takes 0.03 ms, and the rest are two process switches and the guest's "
            "compiling, keeping of output and look for new files. LocalInterpreter has no loop, deadline or files.",
        ),
        Row(
            "callback to a sync tool, round trip",
            "s",
            call,
            calls,
            [at_most("<= 0.30 ms", call.value, 0.30e-3), _fastest(call, calls)],
            "A sync tool runs on a thread of its own, so that it can block without holding up the loop; the next row "
            "is the same tool without that change of threads.",
        ),
        Row("callback to an async tool, round trip", "s", async_call, calls),
        Row("64 concurrent callbacks", "s", at_once, many, [at_most("<= 30 ms", at_once.value, 0.030)]),
    ]


def _fastest(ours: Figure, peers: dict[str, Figure | str]) -> Any:
    others = [one.value for name in (DENO, LOCAL) if isinstance(one := peers[name], Figure)]
    return at_most("faster than every out-of-process peer", ours.value, min(others, default=0.0))


def _cells(execute: Callable[[str], Any], n: int) -> Figure:
    execute("pass")
    return figure([timed_without_gc(lambda: execute("pass")) for _ in range(n)])


def timed_without_gc(work: Callable[[], object]) -> float:
    """Seconds one call takes; for calls so short that collecting before each would be most of the run."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _calls(execute: Callable[[str], Any], n: int) -> Figure:
    return figure([float(execute(ROUND_TRIPS.format(n=n))) for _ in range(5)], note=f"mean over {n} in a row, 5 times")


def _peers(n: int, quick: bool) -> dict[str, tuple[Figure, Figure, Figure | str] | str]:
    found: dict[str, tuple[Figure, Figure, Figure | str] | str] = {}
    for name, make in INTERPRETERS.items():
        if reason := missing(name):
            found[name] = reason
            continue
        interpreter = make(tools={"echo": echo})
        interpreter.start()
        try:
            cell, call = _cells(interpreter.execute, n), _calls(interpreter.execute, n)
            many: Figure | str = "no threads in the guest"
            if name == LOCAL:
                many = figure([float(interpreter.execute(AT_ONCE)) for _ in range(3 if quick else 20)])
            found[name] = cell, call, many
        finally:
            interpreter.shutdown()
    found[RLMS] = missing(RLMS) or _rlms(n, quick)
    return found


def _rlms(n: int, quick: bool) -> tuple[Figure, Figure, Figure | str]:
    repl = rlms_repl(custom_tools={"echo": echo})
    try:

        def execute(code: str) -> str:
            return str(repl.execute_code(code).stdout)

        cell, call = _cells(execute, n), _calls(execute, n)
        threads = figure([float(execute(AT_ONCE)) for _ in range(3 if quick else 20)])
    finally:
        repl.cleanup()
    return cell, call, threads
