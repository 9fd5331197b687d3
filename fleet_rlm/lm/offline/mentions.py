"""Which columns a question mentions: names compared word by word, lower case, singular, underscores as spaces.

A whole name wins over a part of one. A part counts when it belongs to one column only, so `latency` finds
`latency_ms`; units and identifiers' tails (`ms`, `usd`, `id`) alone never stand for a column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet_rlm.lm.offline.schema import Table
from fleet_rlm.lm.offline.words import STOPWORDS, name_words, singular, vocabulary, words

_UNITS = vocabulary("ms s sec second seconds us ns min h usd eur gbp kb mb gb byte pct percent id at ts on no nr num")
_COLUMN = re.compile(r"\bcolumns?\s+[`'\"]?$", re.IGNORECASE)
_TIME_WORDS = frozenset({"date", "time", "timestamp", "day"})


@dataclass(frozen=True)
class Mention:
    """A column and the place in the question that names it."""

    column: str
    start: int
    end: int


def find_columns(question: str, table: Table) -> list[Mention]:
    """Mentions in order of the question, never overlapping."""
    said = words(question)
    parts = [name_words(word.text) for word in said]
    names = {column: name_words(column) for column in table.columns}
    found: list[tuple[int, int, int, str]] = []
    for column, name in names.items():
        for first in range(len(said)):
            spoken: list[str] = []
            for last in range(first, len(said)):
                spoken += parts[last]
                if spoken == name and "".join(name).isdigit() and not _COLUMN.search(question[: said[first].start]):
                    continue  # `top 3` names no column 3
                if spoken == name:
                    found.append((3, first, last, column))
                elif len(name) > 1 and spoken == [part for part in name if part not in _UNITS]:
                    found.append((2, first, last, column))
                if len(spoken) >= len(name):
                    break
    owners: dict[str, list[str]] = {}
    for column, name in names.items():
        for part in set(name) - _UNITS - STOPWORDS:
            owners.setdefault(part, []).append(column)
    for index, word in enumerate(said):
        part = singular(word.low)
        if len(part) > 2 and len(owners.get(part, ())) == 1 and part not in _TIME_WORDS:
            found.append((1, index, index, owners[part][0]))
        elif len(part) > 2 and len(owners.get(part, ())) > 1 and part not in _TIME_WORDS:
            # Several columns share the word: the identifier stands for the thing (`customers` for `customer_id`).
            ids = [column for column in owners[part] if names[column] == [part, "id"]]
            found += [(1, index, index, ids[0])] if ids else []
    chosen: list[Mention] = []
    used: set[int] = set()
    for _, first, last, column in sorted(found, key=lambda one: (-one[0], one[1] - one[2], one[1])):
        span = set(range(first, last + 1))
        if not span & used:
            used |= span
            chosen.append(Mention(column, said[first].start, said[last].end))
    return sorted(chosen, key=lambda one: one.start)
