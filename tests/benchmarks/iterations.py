"""What one iteration costs when the model answers at once, and what a whole run of ten takes."""

from __future__ import annotations

from itertools import pairwise

from tests.benchmarks.measure import Figure, Row, at_least, at_most, figure, timed
from tests.benchmarks.peers import DENO, INTERPRETERS, LOCAL, PEERS, RLMS, missing
from tests.benchmarks.runs import Contender, home, ours, over_server, plain_rlm
from tests.benchmarks.scripted import ITERATIONS, Engine, looks, server

SMALL, LARGE = 10_000, 10_000_000  # characters


def rows(quick: bool) -> list[Row]:
    """With the engine inside the process; then whole runs over HTTP."""
    with home():
        return [*_iterations(quick), *_whole(quick)]


def _iterations(quick: bool) -> list[Row]:
    count, repeats = (4, 1) if quick else (14, 3)
    sizes = {size: _intervals("", size, count, repeats) for size in (SMALL, LARGE)}
    peers: dict[int, dict[str, Figure | str]] = {size: {RLMS: "takes no engine, only an HTTP server"} for size in sizes}
    for peer in INTERPRETERS:
        for size in sizes:
            slow = peer == DENO and size == LARGE
            peers[size][peer] = missing(peer) or _intervals(peer, size, 3 if slow else count, 1 if slow else repeats)
    small, large = sizes[SMALL], sizes[LARGE]
    row = Row("one iteration at 10 MB context, LM at zero latency", "s", large, peers[LARGE])
    bars = [
        at_most(f"<= 1.2x that at 10 kB (it is {large.value / small.value:.2f}x)", large.value / small.value, 1.2),
        at_least(">= 30x less than dspy + LocalInterpreter", row.times(LOCAL), 30),
    ]
    return [
        Row("one iteration at 10 kB context, LM at zero latency", "s", small, peers[SMALL]),
        Row(row.work, row.unit, large, peers[LARGE], bars),
    ]


def _intervals(peer: str, size: int, count: int, repeats: int) -> Figure:
    """Seconds from one prompt to the next, without the first, which also opens the sandbox."""
    found: list[float] = []
    for _ in range(repeats):
        engine = Engine(looks(count))
        run = plain_rlm(peer, engine.lm()) if peer else ours(engine.lm())
        run("x" * size)
        found += [after - before for before, after in pairwise(engine.asked)]
    return figure(found)


def _whole(quick: bool) -> list[Row]:
    with server("looking") as address:
        made = []
        for size, name in ((SMALL, "10 kB"), (LARGE, "10 MB")):
            n = 1 if quick else 5
            peers: dict[str, Figure | str] = {}
            for peer in PEERS:
                slow = peer == DENO and size == LARGE
                peers[peer] = missing(peer) or _times(over_server(peer, address), size, 1 if slow else n)
            work = f"a whole run of {ITERATIONS} iterations over {name}, model server on loopback"
            made.append(Row(work, "s", _times(ours(address), size, n), peers))
        return made


def _times(run: Contender, size: int, n: int) -> Figure:
    if n > 1:
        run("x" * SMALL)
    return figure([timed(lambda: run("x" * size)) for _ in range(n)])
