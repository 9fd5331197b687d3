"""Run every family of rows, each in a fresh process, and write docs/benchmarks.md.

`python -m tests.benchmarks` measures all; `--quick` with few repetitions, to see that it runs; `--only NAME` one
family, printed and not written.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.measure import Row, plain
from tests.benchmarks.page import page, table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"

FAMILIES = (
    *("starts", "cells", "values", "children", "iterations", "queries", "stopping", "events", "copies", "tokens"),
    "sessions",
    "store",
    "redaction",
    "resuming",
    "serving",
)

LIMIT_S = 900  # for one family; on a quiet machine all take seven minutes together


class Failed(Exception):
    """A family could not be measured; the message ends in the error."""


def main() -> None:
    """Measure and write, or print."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    options.add_argument("--quick", action="store_true")
    options.add_argument("--only", choices=FAMILIES)
    options.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.json:
        rows = importlib.import_module(f"tests.benchmarks.{given.only}").rows(quick=given.quick)
        print(json.dumps([plain(row) for row in rows]))
        return
    measured: dict[str, list[Row]] = {}
    failed: dict[str, str] = {}
    for family in [given.only] if given.only else FAMILIES:
        begin = time.monotonic()
        try:
            measured[family] = _in_own_process(family, given.quick)
        except Failed as error:  # the other families' figures must not be lost with it
            failed[family] = str(error).splitlines()[-1]
            print(error, file=sys.stderr)
        print(f"{family}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    rows = [row for family in measured.values() for row in family]
    if given.only or given.quick:
        print(table(rows))
    else:
        PAGE.write_text(page(rows, failed))
        missed = sum(not bar.met for row in rows for bar in row.bars)
        print(f"{PAGE.relative_to(ROOT)}: {len(rows)} rows, {missed} bars missed")
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


def _in_own_process(family: str, quick: bool) -> list[Row]:
    command = [sys.executable, "-m", "tests.benchmarks", "--only", family, "--json", *(["--quick"] if quick else [])]
    environ = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else dspy would fetch a price list meanwhile
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{family} took more than {LIMIT_S} s") from None
    if done.returncode:
        raise Failed(f"{family} failed:\n{done.stderr[-4_000:].strip()}")
    return [Row.of(fields) for fields in json.loads(done.stdout.splitlines()[-1])]


if __name__ == "__main__":
    main()
