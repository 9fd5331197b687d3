from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fleet_rlm.core.run import Run

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def golden() -> Callable[[str], Path]:
    """The path of a golden log by name."""
    return lambda name: GOLDEN / f"{name}.jsonl"


@pytest.fixture
def golden_run(golden: Callable[[str], Path]) -> Callable[[str], Run]:
    """The run of a golden log by name."""
    return lambda name: Run.from_jsonl(golden(name))


@pytest.fixture
def plain() -> Console:
    """A console as a pipe has it; `plain.file.getvalue()` is what was written."""
    return Console(file=io.StringIO(), width=140, force_terminal=False)


@pytest.fixture
def terminal() -> Console:
    """A console as a terminal of 30 lines has it."""
    return Console(file=io.StringIO(), width=140, height=30, force_terminal=True)
