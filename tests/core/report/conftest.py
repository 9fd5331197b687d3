from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_rlm.core.run import Run
from fleet_rlm.core.tree import Tree

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def golden() -> Callable[[str], Tree]:
    """The tree of a golden log by name."""
    return lambda name: Run.from_jsonl(GOLDEN / f"{name}.jsonl").tree
