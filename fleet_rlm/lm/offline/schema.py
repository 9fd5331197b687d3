"""What the look cell printed, read back: the tables with their columns and found values, and the texts with sizes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from fleet_rlm.lm.offline.words import number, singular, words

_TABLE = re.compile(r"^table `(\w+)`: ([\d,]+) rows$")
_COLUMN = re.compile(r'^column ("(?:[^"\\]|\\.)*"): (\w+), (.*)$')
_VALUE = re.compile(r'^value ("(?:[^"\\]|\\.)*"|-?\d+) in column ("(?:[^"\\]|\\.)*")$')
_TEXTS = re.compile(r"^texts `(\w+)`: ([\d,]+) documents?, ([\d,]+) characters$")


@dataclass
class Table:
    """One table: its variable, its columns, and the phrases of the question that are values in it."""

    name: str
    rows: int
    columns: dict[str, str] = field(default_factory=dict)
    """Column name to number, text, time or flag."""
    values: list[tuple[str | int, str]] = field(default_factory=list)
    """(value, column) pairs."""

    def of_kind(self, kind: str) -> list[str]:
        return [name for name, its in self.columns.items() if its == kind]


@dataclass
class Seen:
    """Everything the look cell saw."""

    tables: list[Table] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Variables that are texts or collections of texts."""
    documents: int = 0
    characters: int = 0


def read_look(output: str) -> Seen:
    """Parse the look cell's output; lines of another shape are ignored."""
    seen = Seen()
    for line in output.splitlines():
        if match := _TABLE.match(line):
            seen.tables.append(Table(match[1], int(match[2].replace(",", ""))))
        elif (match := _COLUMN.match(line)) and seen.tables:
            seen.tables[-1].columns[json.loads(match[1])] = match[2]
        elif (match := _VALUE.match(line)) and seen.tables:
            seen.tables[-1].values.append((json.loads(match[1]), json.loads(match[2])))
        elif match := _TEXTS.match(line):
            seen.texts.append(match[1])
            seen.documents += int(match[2].replace(",", ""))
            seen.characters += int(match[3].replace(",", ""))
    return seen


def phrases(question: str) -> list[str]:
    """Lower-case words and runs of up to three words of the question that may be values of a column."""
    found = words(question)
    runs = [found[at : at + size] for size in (1, 2, 3) for at in range(len(found) - size + 1)]
    texts: list[str] = []
    for run in runs:
        if all(word.is_stopword and number(word.text) is None for word in run):
            continue
        text = question[run[0].start : run[-1].end].lower()
        texts += [text, singular(text)] if len(run) == 1 else [text]
    return list(dict.fromkeys(texts))
