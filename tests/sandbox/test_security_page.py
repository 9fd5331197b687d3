"""docs/security.md names walls and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.sandbox.test_confinement import DENIED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")][
    1:
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_threat_has_a_wall_and_a_test_that_exist(row: list[str]) -> None:
    _, wall, test = row
    file = re.search(r"\(`([^`]+)`\)$", wall)
    assert file is not None
    assert (ROOT / file[1]).is_file()
    named = re.fullmatch(r"`(tests/[\w/]+\.py)::(\w+)(?:\[(\w+)\])?`", test)
    assert named is not None
    path, function, attempt = named.groups()
    assert re.search(rf"^def {function}\(", (ROOT / path).read_text(), re.MULTILINE)
    assert attempt is None or attempt in DENIED


def test_the_page_says_what_is_not_protected() -> None:
    assert len(ROWS) > 30
    assert "## Not protected" in PAGE
