"""The conformance page shows every check there is, by the name it has now, and no backend of ours failing one."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conformance import matrix

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_page_has_a_row_for_every_check() -> None:
    nodes = [node for path in matrix.TOPICS for node in ast.parse(path.read_text()).body]
    checks = [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    shown = [row for row in rows if row != "check"]
    assert sorted(shown) == sorted(check.removeprefix("test_").replace("_", " ") for check in checks)
    assert "**no**" not in PAGE.read_text()


def test_a_row_says_no_where_one_of_its_parameters_failed() -> None:
    page = matrix.page({"test_topic": {"test_a_thing": {"confined": "passed", "process": "failed"}}})
    assert "| a thing | – | yes | **no** | – |" in page
