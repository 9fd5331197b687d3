"""How many copies of a large context the host makes in a whole run, besides the user's own.

Each contender runs in a process of its own. Counted are the kernel's high-water mark of the host process, beyond what
it held with the context in hand, and the memory files it had open; the sandbox's own memory is not the host's.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing

from tests.benchmarks.measure import Figure, Row, at_most, figure
from tests.benchmarks.memory import HostPeak
from tests.benchmarks.peers import DENO, LOCAL, PEERS, RLMS, missing
from tests.benchmarks.runs import Contender, home, ours, over_server
from tests.benchmarks.scripted import server

SIZE = 500_000_000  # characters, one byte each
WARM = 10_000


def rows(quick: bool) -> list[Row]:
    """One row."""
    size = SIZE // 10 if quick else SIZE
    with server("submitting") as address:
        own = _in_own_process("", address, size)
        peers: dict[str, Figure | str] = {DENO: "not run: its own process would need many times that"}
        for peer in (LOCAL, RLMS):
            peers[peer] = missing(peer) or _in_own_process(peer, address, size)
    assert set(peers) == set(PEERS)
    bar = at_most("<= 1 besides the user's own", own.value, 1.05)
    return [Row("host copies of a 500 MB context in a whole run", "copies", own, peers, [bar])]


def _in_own_process(peer: str, address: str, size: int) -> Figure:
    fresh = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fresh) as process:
        return figure([process.submit(_copies, peer, address, size).result()])


def _copies(peer: str, address: str, size: int) -> float:
    run: Contender = over_server(peer, address) if peer else ours(address)
    with home():
        run("x" * WARM)  # libraries and caches are not copies
        context = "x" * size
        with HostPeak() as peak:
            run(context)
    return peak.bytes / size
