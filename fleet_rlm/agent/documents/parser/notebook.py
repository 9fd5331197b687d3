"""Jupyter notebooks: every cell and the text it put out, each under a line that names it."""

from __future__ import annotations

import json
import re
from typing import Any, BinaryIO

from fleet_rlm.agent.documents.parser.contract import CannotRead, Write

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def parse(file: BinaryIO, write: Write) -> dict[str, Any]:
    """Text of a notebook (format 3 or newer); metadata: number of cells, language."""
    try:
        notebook = json.load(file)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise CannotRead(f"is not a notebook ({error})") from None
    for number, cell in enumerate(cells, 1):
        write(
            f"## cell {number} ({cell.get('cell_type', 'unknown')})\n{_text(cell.get('source', cell.get('input')))}\n\n"
        )
        for output in cell.get("outputs", ()):
            if text := _output(output):
                write(f"### output of cell {number}\n{text}\n\n")
    language = notebook.get("metadata", {}).get("language_info", {}).get("name")
    return {"cells": len(cells), **({"language": language} if language else {})}


def _output(output: dict[str, Any]) -> str:
    if output.get("output_type") in ("error", "pyerr"):
        return ANSI.sub("", "\n".join(output.get("traceback", [])))
    data = output.get("data", output)
    for form in ("text/markdown", "text/plain", "text"):
        if form in data:
            return ANSI.sub("", _text(data[form])).rstrip()
    return "".join(f"[{form}]" for form in data if "/" in form)


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value or "")
