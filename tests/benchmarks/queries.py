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
            "The bar leaves 0.9 ms for a call, of which the process needs 0.7 ms of its one core (0.71 s of processor "
            "time for 1,000), so the burst of 64 answers that arrive together is not worked off before the next one. "
            "Of the 0.7 ms, admission, span, booking and the cell take 0.23 ms (the next row: the same work without "
            "HTTP); the rest is dspy's client: 0.1 ms reads the proxy variables anew for each request, 0.08 ms chooses "
            "the route, 0.3 ms builds, sends, receives and parses. The loopback server shares the machine. A "
            "client of our own would meet the bar (one on bare sockets needs 0.1 ms), but would have to speak every "
            "provider's dialect, which is what dspy is there for.",
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
