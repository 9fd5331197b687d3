"""Reading the descriptions of variables that a prompt carries: name, type, preview and where the question is.

The same layout arrives from dspy's `REPLVariable.format()` (in numbered brackets) and from the agent's context.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from fleet_rlm.lm.offline.words import sections

_START = re.compile(r"^([ \t]*)Variable: `(\w+)`.*$(?=\n[ \t]*Type: )", re.MULTILINE)
_PREVIEW = re.compile(r"^Preview:\s*\n```[^\n]*\n(.*)\n```", re.MULTILINE | re.DOTALL)
_BRACKETS = re.compile(r"\s*»»»\s*(?:\[\d+\] «««\s*)?\Z")
_TYPE = re.compile(r"^Type: (.*)$", re.MULTILINE)
_OF_THE_SESSION = ("session_history", "session_memory")
"""Earlier turns and core memory: no data, so no question of ours is answered from them."""
_QUESTION_NAMES = ("prompt", "question", "query")
_TABLES = frozenset({"DataFrame", "Series", "Table", "RecordBatch", "ndarray"})


@dataclass(frozen=True)
class Variable:
    """One variable the generated code may use."""

    name: str
    type: str
    """Type name without its module, e.g. `DataFrame`."""
    preview: str

    @property
    def is_table(self) -> bool:
        return self.type in _TABLES

    @property
    def may_be_table(self) -> bool:
        """Whether only the value itself can tell: text in a regular layout, records, a mapping of columns."""
        columns = self.type == "dict" and re.search(r'^\s*\{\s*"[^"]*":\s*\[', self.preview)
        return self.type in ("str", "list", "tuple") or bool(columns)


def read_variables(text: str) -> list[Variable]:
    """Every variable described in the text, in order; an empty list when nothing is described."""
    return [_read(head, body) for head, body in sections(_START, text) if head[2] not in _OF_THE_SESSION]


def split_question(variables: list[Variable]) -> tuple[str, list[Variable]]:
    """The question's full text and the variables that hold data. No question variable gives an empty question."""
    for name in _QUESTION_NAMES:
        for variable in variables:
            if variable.name == name and variable.type == "str":
                return variable.preview.strip(), [other for other in variables if other is not variable]
    return "", list(variables)


def _read(head: re.Match[str], rest: str) -> Variable:
    # The brackets of a numbered list stand at the margin: they go first, or nothing could be dedented.
    body = textwrap.dedent(_BRACKETS.sub("", rest.strip("\n")))
    kind, preview = _TYPE.search(body), _PREVIEW.search(body)
    return Variable(
        name=head[2],
        type=kind[1].strip().rpartition(".")[2] if kind else "",
        preview=preview[1] if preview else "",
    )
