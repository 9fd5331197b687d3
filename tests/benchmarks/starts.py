"""How long until a sandbox is ready for its first cell."""

from __future__ import annotations

from typing import Any

from fleet_rlm.sandbox.local import LocalSandbox
from fleet_rlm.sandbox.values import HEAVY
from tests.benchmarks.measure import Figure, Row, at_least, at_most, figure, timed
from tests.benchmarks.peers import DENO, IN_PROCESS, INTERPRETERS, LOCAL, PEERS, RLMS, missing, rlms_repl

LIMIT = (
    "By profile of a 5 ms child: 0.4 ms until the session begins to fork; 2.3 ms from there until Python runs in the "
    "child, of which the kernel copies 680 mappings (0.25 ms) and the page tables of 48 MB (0.6 ms), and the rest are "
    "Python's own hooks after a fork and pages touched for the first time (1.6 us each, 750 of them over the whole "
    "start); directories 0.3 ms; Landlock 0.4 ms; channel, output file, signal handler 0.6 ms; the announcement and "
    "its way to the caller 0.3 ms. A bare `os.fork()` of a process with numpy and pandas takes 1.2 ms in the parent "
    "and 2.0 ms until the child runs Python. Huge pages (MADV_COLLAPSE) made no difference. On a busy machine the row "
    "measures how long a new process waits for a processor."
)


def rows(quick: bool) -> list[Row]:
    """A child below a session that has numpy and pandas loaded; a new session from the warm template."""
    rounds, each = (2, 2) if quick else (10, 4)
    reasons = {name: reason for name in PEERS if (reason := missing(name))}
    children: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in PEERS if name not in reasons}
    with LocalSandbox(preload=HEAVY) as session:
        session.execute("import numpy, pandas")
        for turn in range(rounds):  # all take turns: a busy moment of the machine hits all alike
            children += [_child(session) for _ in range(each)]
            for name, times in found.items():
                if name != DENO or turn % 2 == 0:
                    times += [_start(name) for _ in range(1 if name == DENO else 2)]
    child = figure(children)
    peers = {**reasons, **{name: figure(times, IN_PROCESS if name == RLMS else "") for name, times in found.items()}}
    row = Row("child ready with numpy and pandas loaded (peers: bare start)", "s", child, peers)
    bars = [
        at_most("<= 6 ms", child.value, 0.006),
        at_least(">= 6x LocalInterpreter's bare start", row.times(LOCAL), 6),
        at_least(">= 300x Deno's", row.times(DENO), 300),
    ]
    return [
        Row(row.work, row.unit, child, peers, bars, LIMIT),
        Row("new session, template warm (peers: bare start)", "s", _session(2 if quick else 40), peers),
        Row("first session of a process, template cold (peers: bare start)", "s", _cold(), peers),
    ]


def _child(session: LocalSandbox) -> float:
    opened: list[Any] = []
    seconds = timed(lambda: opened.append(session.fork()))
    assert opened[0].run("'pandas' in __import__('sys').modules").value == "True"
    opened[0].shutdown()
    return seconds


def _session(n: int) -> Figure:
    with LocalSandbox():  # warms the template
        times = []
        for _ in range(n):
            sandbox = LocalSandbox()
            times.append(timed(sandbox.start))
            sandbox.shutdown()
    return figure(times)


def _cold() -> Figure:
    """Another set of modules is another template."""
    sets: list[tuple[str, ...]] = [("json",), ("csv",), ("decimal",), ("random",), ("calendar",)]
    times = []
    for modules in sets:
        sandbox = LocalSandbox(preload=modules)
        times.append(timed(sandbox.start))
        sandbox.shutdown()
    return figure(times)


def _start(peer: str) -> float:
    """Seconds until a peer is ready; dspy's are bare processes, rlms' is an object in this one."""
    if peer == RLMS:
        return timed(lambda: rlms_repl().cleanup())
    interpreter = INTERPRETERS[peer]()
    seconds = timed(interpreter.start)
    interpreter.shutdown()
    return seconds
