"""The notebooks as they are committed: executed, right, and free of what belongs to one machine.

That they run is nbval's to show; this reads what a visitor of the repository sees.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<])/(?:[\w.-]+/)+[\w.-]+")
MOST_BYTES = 250_000


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.param, 4)  # type: ignore[no-untyped-call]


def texts(cell: nbformat.NotebookNode) -> list[str]:
    """What is below a code cell, in every form."""
    return [text for output in cell.outputs for text in (output.get("text"), *output.get("data", {}).values()) if text]


def test_every_cell_was_run_in_order_and_the_last_one_confirms_the_answers(notebook: nbformat.NotebookNode) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert set(re.findall(r"True|False", "".join(texts(code[-1])))) == {"True"}
    assert "nbval-ignore-output" not in code[-1].metadata.get("tags", [])


def test_answers_stay_and_say_who_gave_them(notebook: nbformat.NotebookNode) -> None:
    asked = [cell for cell in notebook.cells if cell.source.startswith("%%fleet") and "--plan" not in cell.source]
    asked += [cell for cell in notebook.cells if "Run.from_jsonl(" in cell.source]  # asked of a server

    assert asked
    for cell in asked:
        assert 'class="flt-static"' in "".join(texts(cell))
        assert "rule-based stand-in, not a language model" in "".join(texts(cell))


def test_nothing_of_the_machine_it_ran_on_is_told(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert ABSOLUTE_PATH.findall("\n".join(texts(cell))) == []
    assert set(notebook.metadata) == {"kernelspec", "language_info"}, "no state of widgets, no version of Python"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_stays_small(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
