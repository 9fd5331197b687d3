"""The words of a question that no rule has placed: what a reading would silently leave out.

Figures of speech (`average`, `top`, `rows`) are known; so is the noun of what is counted, which names the rows.
"""

from __future__ import annotations

import re

from fleet_rlm.lm.offline.mentions import Mention
from fleet_rlm.lm.offline.schema import Table
from fleet_rlm.lm.offline.words import STOPWORDS, name_words, number, singular, vocabulary, words

_FIGURES = vocabulary(
    "distinct unique different share fraction percentage percent proportion rate median average mean avg typical "
    "standard deviation std total sum combined overall altogether number count counts top bottom highest largest "
    "biggest greatest maximum max lowest smallest fewest minimum min longest shortest slowest fastest common "
    "frequent compare compared comparison versus vs rank ranked row rows record records entry entries data "
    "dataset table frame column columns value values item items line lines event events observation observations "
    "case cases grouped group groups broken down across daily monthly hourly yearly weekly first last earliest "
    "latest date day month hour year week weekday quarter minute time when percentile over above below under "
    "greater less than at after before since until during in between equal equals contains containing contain "
    "whose having has have had where is are was were been there find show list tell compute calculate figure do "
    "does did by per for each every it its one two three four five six seven eight nine ten twenty occur occurs "
    "occurred appear appears exist exists happen happened seen starts starting ends ending missing null empty "
    "blank make made makes take took taken get got come came go went more less most least best worst same order "
    "sorted descending ascending respectively exceed exceeds exceeding higher lower larger smaller exactly any "
    "other"
)
_ROWS = re.compile(
    r"\b(?:(?:how many|number of|percentage of|share of|percent of|fraction of|all)\s+([a-z]+)"
    r"|(?<!is )(?<!are )(?<!was )(?<!were )the (?:most|fewest)\s+([a-z]+s))\b"
)
_FILE = re.compile(r"[\w/-]+\.[a-z]{2,5}")
_IN = re.compile(r"\b(?:in|of|from|within)\s+$", re.IGNORECASE)
_QUANTILE = re.compile(r"p\d\d|\d\dth")


def unused_words(
    question: str, table: Table, columns: list[Mention], taken: list[tuple[int, int]], top: int
) -> list[str]:
    """Content words and numbers no rule has used. The noun of what is counted (`how many orders`) names the rows."""
    spans = taken + [(one.start, one.end) for one in columns]
    rows = _ROWS.search(question.lower())
    rows_at = [rows.start(group) for group in (1, 2)] if rows is not None else []
    known = _FIGURES | {table.name.lower(), singular(table.name)}
    named = {part for one in columns for part in name_words(one.column)} | {"non"}
    left: list[str] = []
    for word in words(question):
        inside = any(start <= word.start < end for start, end in spans)
        if (
            inside
            or word.is_stopword
            or word.low in known
            or singular(word.low) in known
            or _QUANTILE.fullmatch(word.low)
            or (_FILE.fullmatch(word.low) and _IN.search(question[: word.start]))
        ):
            continue
        if rows is not None and word.start in rows_at and _ends_phrase(question[word.end :], taken, word.end):
            continue
        if (top and number(word.text) == top) or set(name_words(word.text)) <= named:
            continue
        left.append(word.text)
    return left


def _ends_phrase(rest: str, taken: list[tuple[int, int]], at: int) -> bool:
    """Whether a noun phrase ends here: what follows is no further noun but a condition, a verb or a figure."""
    following = re.match(r"\s+([a-z]+)", rest)
    if following is None or following[1] in STOPWORDS | _FIGURES or following[1].endswith("ed"):
        return True
    return any(start <= at + following.start(1) < end for start, end in taken)
