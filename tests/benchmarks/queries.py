"""A thousand sub-queries of 50 ms each from one cell, 64 at a time."""

from __future__ import annotations

import fleet_rlm
from tests.benchmarks.measure import Figure, Row, at_most, figure, timed
from tests.benchmarks.peers import DENO, LOCAL, PEERS, RLMS, missing
from tests.benchmarks.runs import Contender, home, ours, over_server
from tests.benchmarks.scripted import ASK, QUERIES, QUERY_S, Engine, server

WIDTH = 64
IDEAL = QUERIES * QUERY_S / WIDTH
OPTIONS = {"budget": QUERIES + 10, "concurrency": WIDTH}
WIDTHS = {DENO: "8 wide, fixed", LOCAL: "8 wide, fixed", RLMS: "16 wide, fixed"}

LIMIT = (
    "The bar leaves 0.9 ms for a call, of which this process needs 0.43 ms of its one core (0.71 ms with dspy's own "
    "transport). By profile two fifths of it are dspy's building and parsing of messages, a quarter HTTP (most of that "
    "the system call that sends), the rest admission, span, booking and the cell. 64 answers that arrive together wait "
    "for each other so long, and the loopback server shares the machine. Every second run or so "
    "has a full garbage collection, which stops everything for 0.12 s: side by side, runs without one took 0.94 "
    "to 0.96 s and runs with one 1.10 to 1.14 s. It goes through 230,000 objects, of which 110,000 are a grammar of "
    "web addresses: `import dspy` loads it by way of jsonschema where Jupyter's extras of that are installed. To "
    "freeze them would keep a user's own garbage alive, too."
)


def rows(quick: bool) -> list[Row]:
    """Over HTTP, and with an engine in the process that only waits."""
    n = 1 if quick else 5
    with home():
        with server("asking") as address:
            over_http = figure([_cell_seconds(ours(address, **OPTIONS)) for _ in range(n + 1)][1:])
            peers: dict[str, Figure | str] = {}
            for peer in PEERS:
                peers[peer] = missing(peer) or _whole(peer, address)
        waiting = figure(
            [_cell_seconds(ours(Engine([ASK, "SUBMIT(answer='done')"], QUERY_S).lm(), **OPTIONS)) for _ in range(n)]
        )
    bar = f"<= 1.15x the ideal {IDEAL:.2f} s"
    work = f"{QUERIES:,} sub-queries at 50 ms, {WIDTH} wide"
    return [
        Row(
            f"{work}, model server on loopback",
            "s",
            over_http,
            peers,
            [at_most(bar, over_http.value, 1.15 * IDEAL)],
            LIMIT,
        ),
        Row(f"{work}, engine inside the process", "s", waiting, {}),
    ]


def _whole(peer: str, address: str) -> Figure:
    """One whole run: beside the queries, its start is nothing."""
    run = over_server(peer, address, QUERIES + 10)
    return figure([timed(lambda: run("x"))], WIDTHS[peer])


def _cell_seconds(run: Contender) -> float:
    """How long the cell that asks them took."""
    done = run("x" * 1_000)
    assert isinstance(done, fleet_rlm.Run)
    cell = next(span for span in done.tree.spans.values() if span.type == "code")
    assert cell.output == str(QUERIES), cell.output
    assert cell.end is not None
    return (cell.end - cell.start) / 1e6
