"""Notebooks: cells and their text output, of the present format and the one before."""

from __future__ import annotations

import io
import json
from typing import Any

from fleet_rlm.agent.documents.parser.notebook import parse
from tests.agent.documents.samples import notebook


def text_of(data: bytes) -> tuple[str, dict[str, Any]]:
    out: list[str] = []
    metadata = parse(io.BytesIO(data), out.append)
    return "".join(out), metadata


def test_cells_and_their_text_outputs_are_told_and_images_are_named() -> None:
    assert text_of(notebook("a heron")) == (
        "## cell 1 (markdown)\n# Birds\nA note.\n\n## cell 2 (code)\nprint(bird)\n\n"
        "### output of cell 2\na heron\n\n### output of cell 2\n[image/png]\n\n",
        {"cells": 2},
    )


def test_a_traceback_is_told_without_its_colours() -> None:
    error = {"output_type": "error", "traceback": ["\x1b[31mKeyError\x1b[0m: 'x'"]}
    cell = {"cell_type": "code", "source": "d['x']", "outputs": [error]}
    text, _ = text_of(json.dumps({"cells": [cell], "metadata": {"language_info": {"name": "python"}}}).encode())
    assert text.endswith("### output of cell 1\nKeyError: 'x'\n\n")


def test_a_notebook_of_the_old_format_is_read_too() -> None:
    cell = {"cell_type": "code", "input": ["1 + 1"], "outputs": [{"output_type": "pyout", "text": ["2"]}]}
    text, metadata = text_of(json.dumps({"nbformat": 3, "worksheets": [{"cells": [cell]}]}).encode())
    assert text == "## cell 1 (code)\n1 + 1\n\n### output of cell 1\n2\n\n"
    assert metadata == {"cells": 1}
