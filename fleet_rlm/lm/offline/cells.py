"""A code cell the stand-in writes: a stage, the thought behind it, and Python source.

Cells are stateless to write and stateful to run: the stage stands in the first comment of the code, so that the next
request can read from the history how far the work has come.
"""

from __future__ import annotations

import inspect
import re
import symtable
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from fleet_rlm.lm.offline import guest_figures, guest_reports, guest_tables, guest_texts

_STAGE = re.compile(r"^# stage: (\w+)", re.MULTILINE)
_IMPORTS = ("ast", "csv", "io", "json", "re", "warnings")


@dataclass(frozen=True)
class Cell:
    """One step of work in the sandbox."""

    stage: str
    """look, search, divide, read, compute or answer."""
    thought: str
    code: str

    def text(self) -> str:
        return f"# stage: {self.stage}\n{self.code}"


def write_cell(stage: str, thought: str, body: str, functions: Iterable[str] = ()) -> Cell:
    """A cell of the named guest functions, with whatever they call, followed by the body."""
    code = "\n\n\n".join([*sources(functions), body.strip("\n")])
    used = _names(symtable.symtable(code, "cell", "exec"))
    imports = [f"import {name}" for name in _IMPORTS if name in used]
    if "Any" in used:
        imports.append("from typing import Any")
    return Cell(stage, thought, "\n".join([*imports, "", code]) if imports else code)


def _names(table: symtable.SymbolTable) -> set[str]:
    """Every name of the code, attributes left out. No tree is built: see `direct._literal`."""
    return set(table.get_identifiers()).union(*map(_names, table.get_children()))


def stage_of(code: str) -> str:
    """The last stage a piece of code carries out; "" for code the stand-in did not write."""
    stages = _STAGE.findall(code)
    return stages[-1] if stages else ""


def joined(cells: list[Cell]) -> Cell:
    """All the cells as one, for when there is no further iteration."""
    return Cell(cells[-1].stage, "No step is left: everything at once.", "\n\n".join(cell.text() for cell in cells))


def sources(names: Iterable[str]) -> list[str]:
    """Source of the named guest functions and of all they call, callees first."""
    wanted: dict[str, str] = {}

    def visit(name: str) -> None:
        if name in wanted:
            return
        source = _guests()[name]
        for other in _guests():
            if other != name and re.search(rf"(?<![\w.]){other}\(", source):
                visit(other)
        wanted[name] = source

    for name in names:
        visit(name)
    return list(wanted.values())


@cache
def _guests() -> dict[str, str]:
    found: dict[str, str] = {}
    for module in (guest_texts, guest_reports, guest_tables, guest_figures):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                found[name] = inspect.getsource(function).strip("\n")
    return found
