"""Fifty children at once below a parent that holds a large context: time and memory."""

from __future__ import annotations

import asyncio
import time

from fleet_rlm.core.loop import run_sync
from fleet_rlm.sandbox.local import LocalSandbox
from tests.benchmarks.measure import Figure, Row, at_most, figure
from tests.benchmarks.memory import proportional
from tests.benchmarks.peers import DENO, INTERPRETERS, LOCAL, PEERS, RLMS, missing

CHILDREN = 50
CONTEXT = 50_000_000  # characters


def rows(quick: bool) -> list[Row]:
    """From the first fork until every child has read the length of its context."""
    count = 5 if quick else CHILDREN
    context = "x" * CONTEXT
    measured = [run_sync(_ours(context, count)) for _ in range(1 if quick else 5)]
    time_all, memory = figure([one[0] for one in measured]), figure([float(one[1]) for one in measured])
    peers = _peers(context, 1 if quick else 5)
    return [
        Row(
            f"{CHILDREN} children under a 50 MB context, all ready and each one cell",
            "s",
            time_all,
            {name: one if isinstance(one, str) else one[0] for name, one in peers.items()},
            [at_most("<= 0.7 s", time_all.value, 0.7)],
            "On a quiet machine it takes 0.2 to 0.45 s; on a busy one all children together get one share of the "
            "processors (see below).",
        ),
        Row(
            f"{CHILDREN} children under a 50 MB context, memory of all with their parent (PSS)",
            "bytes",
            memory,
            {name: one if isinstance(one, str) else one[1] for name, one in peers.items()},
            [at_most("<= 200 MiB", memory.value, 200 << 20)],
        ),
    ]


async def _ours(context: str, count: int) -> tuple[float, int]:
    parent = LocalSandbox()
    try:
        await parent.astart()
        await parent.aput("context", context)
        begin = time.perf_counter()

        async def one() -> LocalSandbox:
            child = await parent.afork()
            assert (await child.aexecute("len(context)")).value == str(len(context))
            return child

        children = await asyncio.gather(*(one() for _ in range(count)))
        elapsed = time.perf_counter() - begin
        return elapsed, proportional(one.pid or 0 for one in (parent, *children))
    finally:
        await parent.aclose()


def _peers(context: str, count: int) -> dict[str, tuple[Figure, Figure] | str]:
    found: dict[str, tuple[Figure, Figure] | str] = dict.fromkeys(PEERS, "no children with their parent's variables")
    found[RLMS] = "children share the host's process; no variables are passed on"
    for name in (LOCAL, DENO):
        if name == DENO:
            found[name] = missing(name) or "not run: 50 MB as source text in each of them"
            continue
        opened = []
        begin = time.perf_counter()
        for _ in range(count):
            opened.append(INTERPRETERS[name]())
            opened[-1].execute("len(context)", variables={"context": context})
        elapsed = time.perf_counter() - begin
        share, note = count / CHILDREN, f"{count} interpreters, each sent the context"
        memory = proportional(one._process.pid for one in opened)
        found[name] = figure([elapsed], note, share), figure([float(memory)], note, share)
        for one in opened:
            one.shutdown()
    return found
