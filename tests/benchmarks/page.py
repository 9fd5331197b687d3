"""docs/benchmarks.md, written from the rows: machine, versions, the table, the peers, and where a bar is missed."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.measure import Figure, Row, Unit
from tests.benchmarks.peers import PEERS

PACKAGES = ("fleet-rlm", "dspy", "rlms", "deno", "numpy", "pandas", "pyarrow")

INTRO = """\
# Benchmarks

Written by `make bench` (`python -m tests.benchmarks`): every figure below was measured in one run on one machine, ours
and the peers' alike. A figure is the median of n measurements, the factor in brackets says how many times more (or
less) the peer takes than we do. The scripts are in `tests/benchmarks/`, one per family of rows.
"""

NOTES = """\
## What is compared

- *dspy PythonInterpreter*: Pyodide under Deno. Its one import from a remote library is replaced by a local function
  (`tests/benchmarks/readlines.js`), otherwise unmodified. In rows about runs: plain `dspy.RLM` on it.
- *dspy LocalInterpreter*: a plain Python process, without any confinement. In rows about runs: plain `dspy.RLM` on it.
- *rlms LocalREPL*: `exec` in the host's own process: no start, no transfer, no protection. In rows about runs: `rlms`.
- *fleet-rlm*: `LocalSandbox` with full confinement, and `fleet_rlm.run` with its trace written to disk.

All runs speak to the same scripted model server over loopback HTTP, in a process of its own, or to the same scripted
engine inside the process where the row says so.
"""

TRIED = """\
## Tried and not taken

- *Lists of documents as one Arrow column.* A million texts of 40 characters arrive as a list in 0.78 s by pickle (its
  memo off), in 1.57 s by Arrow and `to_pylist` (one run, busy machine). Left as a column they take as long to build and
  17 times as long to go through (2.5 s instead of 0.15 s), for each item becomes a string when it is looked at.
- *Huge pages for the template* (MADV_COLLAPSE): a fork is not faster, because its pages are many small mappings.
- *A child in a session of its own* (`setsid`): Linux schedules by session, so it waited 3 ms for its first turn. The
  other side of it: on a machine busy with other work, 50 children together get the share of one session.
"""


def page(rows: list[Row], failed: dict[str, str]) -> str:
    """The whole page. `failed` says why a family has no rows."""
    parts = [INTRO, _machine(), table(rows), NOTES]
    missed = [row for row in rows if not all(bar.met for bar in row.bars)]
    if missed:
        parts.append("## Where a bar is missed\n\n" + "".join(_shortfall(row) for row in missed))
    parts.append(TRIED)
    if failed:
        told = "".join(f"- **{family}**: {reason}\n" for family, reason in failed.items())
        parts.append("## Not measured in this run\n\n" + told)
    return "\n".join(parts)


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        f"| work | fleet-rlm | {' | '.join(PEERS)} | bar | met |",
        "|---|---|" + "---|" * (len(PEERS) + 2),
    ]
    for row in rows:
        peers = [_peer(row, peer) for peer in PEERS]
        bars = "<br>".join(bar.text for bar in row.bars) or "none set"
        met = "<br>".join("met" if bar.met else "**not met**" for bar in row.bars)
        lines.append(f"| {row.work} | {_figure(row.ours, row.unit)} | {' | '.join(peers)} | {bars} | {met} |")
    return "\n".join(lines) + "\n"


def _peer(row: Row, peer: str) -> str:
    entry = row.peers.get(peer, "–")
    if isinstance(entry, str):
        return entry
    times = row.times(peer)
    factor = "" if times is None else f" ({times:,.0f}x)" if times >= 10 else f" ({times:.2g}x)"
    return _figure(entry, row.unit) + factor


def _figure(figure: Figure, unit: Unit) -> str:
    spread = f"<br><sub>n={figure.n}, {amount(figure.low, unit)} to {amount(figure.high, unit)}</sub>"
    return f"{amount(figure.value, unit)}{spread if figure.n > 1 else ''}{f'<br>{figure.note}' if figure.note else ''}"


def amount(value: float, unit: Unit) -> str:
    """A value as people read it."""
    if unit == "bytes":
        return f"{value / (1 << 20):,.1f} MiB"
    if unit == "copies":
        return f"{value:.2f}"
    if unit == "%":
        return f"{value:.1f} %"
    return f"{value:,.2f} s" if value >= 1 else f"{value * 1000:,.3g} ms"


def _shortfall(row: Row) -> str:
    texts = "; ".join(bar.text for bar in row.bars if not bar.met)
    return f"- **{row.work}** ({texts}; measured {amount(row.ours.value, row.unit)}). {row.limit}\n"


def _machine() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    load = os.getloadavg()[0]
    when = datetime.datetime.now(datetime.UTC)
    busy = ""
    if load > (os.cpu_count() or 1):
        busy = "**The machine was busy with other work**: times are longer than on a quiet one, and vary more.\n"
    return (
        f"Measured on {when:%Y-%m-%d}: {model}, {os.cpu_count()} cores, {memory >> 20} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}; load average at the end {load:.1f}.\n"
        f"{busy}"
        f"Versions: {', '.join(f'{name} {_version(name)}' for name in PACKAGES)}.\n"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
