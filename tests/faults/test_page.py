"""docs/faults.md covers every fault, and every test it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text("utf-8")


def test_there_is_a_row_with_tests_for_every_fault() -> None:
    rows = dict(re.findall(r"^\| (B\d+) \|(.*)$", PAGE, re.MULTILINE))
    assert list(rows) == [f"B{number}" for number in range(1, 21)]
    assert all("::test_" in row for row in rows.values())


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    missing = [f"{path}::{name}" for path, name in named if name not in _tests(ROOT / path)]
    assert named
    assert missing == []


def test_every_file_of_this_folder_is_named() -> None:
    files = {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
    assert {name for name in files if f"tests/faults/{name}" not in PAGE} == set()


def _tests(path: Path) -> set[str]:
    if not path.exists():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}
