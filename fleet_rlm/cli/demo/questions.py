"""The three questions, what each is asked over, and the print-out of one."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_rlm.cli.asking import ask, exit_code, report_of
from fleet_rlm.cli.demo import incident, orders, standard_library
from fleet_rlm.cli.outcome import print_outcome

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Demo:
    """One question of the demo.

    Attributes:
        number: 1, 2 or 3.
        question: as it is asked.
        name: what the data is called in the sandbox.
        data: makes the data, given an empty directory.
        size: tells in words how much it is.
    """

    number: int
    question: str
    name: str
    data: Callable[[Path], Any]
    size: Callable[[Any], str]


def print_demo(demo: Demo, args: argparse.Namespace, console: Console) -> int:
    """Make the data, ask the question, print everything about it; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="fleet-demo-") as folder:
        data = demo.data(Path(folder))
        size = demo.size(data)
        console.rule(f"demo {demo.number} of {len(QUESTIONS)}", align="left")
        console.print(demo.question, style="bold", markup=False, highlight=False)
        console.print(f"over `{demo.name}`: {size}\n", style="dim", highlight=False)
        begun = time.perf_counter()
        run = ask(demo.question, {demo.name: data}, args, console)
        took = time.perf_counter() - begun
        print_outcome(run, console, report=report_of(run, None if args.all else args.html), data=size)
        console.print(f"from question to answer {took:.1f} s\n", style="dim", highlight=False)
        return exit_code(run)


def _folder_size(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    characters = sum(len(path.read_bytes().decode("utf-8", "replace")) for path in files)
    return f"{characters:,} characters in {len(files):,} files"


def _frame_size(frame: Any) -> str:
    characters = sum(int(frame[name].astype("string").str.len().sum()) for name in frame.columns)
    return f"{len(frame):,} rows x {len(frame.columns)} columns, {characters:,} characters written out"


QUESTIONS = (
    Demo(
        1,
        "Which modules announce a removal by `warnings._deprecated`, and for which Python version?",
        "stdlib",
        standard_library.copy_sources,
        _folder_size,
    ),
    Demo(
        2,
        "What are the top 5 countries by total revenue where status is delivered?",
        "orders",
        lambda folder: orders.orders(),
        _frame_size,
    ),
    Demo(
        3,
        "How many lines per file mention 'certificate has expired'?",
        "week",
        incident.write_files,
        _folder_size,
    ),
)
