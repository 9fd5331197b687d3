"""How long until a sandbox is ready for its first cell."""

from __future__ import annotations

from typing import Any

from fleet_rlm.sandbox.local import LocalSandbox
from fleet_rlm.sandbox.values import HEAVY
from tests.benchmarks.measure import Figure, Row, at_least, at_most, figure, timed
from tests.benchmarks.peers import DENO, INTERPRETERS, LOCAL, RLMS, missing, rlms_repl


def rows(quick: bool) -> list[Row]:
    """A child below a session that has numpy and pandas loaded; a new session from the warm template."""
    n = 3 if quick else 40
    peers = _peers(quick)
    with LocalSandbox(preload=HEAVY) as session:
        session.execute("import numpy, pandas")
        child = figure([_child(session) for _ in range(n)])
    row = Row("child ready with numpy and pandas loaded (peers: bare start)", "s", child, peers)
    bars = [
        at_most("<= 6 ms", child.value, 0.006),
        at_least(">= 6x LocalInterpreter's bare start", row.times(LOCAL), 6),
        at_least(">= 300x Deno's", row.times(DENO), 300),
    ]
    return [
        Row(row.work, row.unit, child, peers, bars),
        Row("new session, template warm (peers: bare start)", "s", _session(n), peers),
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


def _peers(quick: bool) -> dict[str, Figure | str]:
    found: dict[str, Figure | str] = {}
    for name, make in INTERPRETERS.items():
        if reason := missing(name):
            found[name] = reason
            continue
        times = []
        for _ in range(1 if quick else 5 if name == DENO else 20):
            interpreter = make()
            times.append(timed(interpreter.start))
            interpreter.shutdown()
        found[name] = figure(times)
    found[RLMS] = missing(RLMS) or figure(
        [timed(lambda: rlms_repl().cleanup()) for _ in range(20)], note="in the host's process, no sandbox"
    )
    return found
