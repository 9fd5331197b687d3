"""The conditions a question puts on rows: comparisons, ranges, dates, known values, text tests, missing cells.

Every condition remembers nothing of the wording; the spans it was read from are returned beside, so that what is left
of the question can be read for groups and measures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from fleet_rlm.lm.offline.mentions import Mention
from fleet_rlm.lm.offline.schema import Table
from fleet_rlm.lm.offline.words import STOPWORDS, number, period, quoted

Test = Literal["==", "!=", ">", ">=", "<", "<=", "contains", "starts", "ends", "in", "missing", "present"]
Value = str | int | float | bool | tuple[str | int, ...] | None
Span = tuple[int, int]


@dataclass(frozen=True)
class Condition:
    """Rows whose `column` passes `test` against `value`; on time columns the value is an ISO date or time."""

    column: str
    test: Test
    value: Value = None


_OPS: tuple[tuple[Test, str], ...] = (
    (">=", r"at least|no less than|greater than or equal to|>=|or more than|not below"),
    ("<=", r"at most|no more than|less than or equal to|<=|up to|not above"),
    (">", r"greater than|more than|higher than|larger than|bigger than|longer than|above|over|exceed(?:s|ing|ed)?|>"),
    ("<", r"less than|fewer than|lower than|smaller than|shorter than|below|under|<"),
    ("!=", r"is not|isn't|are not|was not|not equal to|other than|except|excluding|!=|<>|not"),
    ("==", r"is equal to|equal to|equals|is|are|was|were|of|==|=|:"),
)
_NEGATED = re.compile(
    r"\b(?:not|except|excluding|other than|without|isn't|no|never)"
    r"(?: an?| contain| include| mention| have| be| equal| say| in| at| on| from| for| the)*\s*[`'\"“]?$"
)
_NUMBER = r"[$€£]?-?\d[\d,]*(?:\.\d+)?(?: ?(?:k|m|million|thousand)\b|%)?"
_DATE = (
    r"\d{4}-\d\d-\d\d(?:[ t]\d\d:\d\d(?::\d\d)?)?|\d{4}-\d\d|(?:\d{1,2}(?:st|nd|rd|th)? )?"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?: \d{1,2}(?:st|nd|rd|th)?,?)? \d{4}|(?:19|20)\d\d"
)


def read_conditions(question: str, table: Table, columns: list[Mention]) -> tuple[list[Condition], list[Span]]:
    """All conditions found, and the spans of the question they were read from."""
    low = question.lower()
    found: list[Condition] = []
    taken: list[Span] = []

    def take(condition: Condition, start: int, end: int) -> None:
        if not any(start < other_end and other_start < end for other_start, other_end in taken):
            found.append(condition)
            taken.append((start, end))

    for one in columns:
        if table.columns[one.column] in ("number", "time"):
            for condition, start, end in _figures(low, one, table):
                take(condition, start, end)
        for condition, start, end in _texts(question, low, one, table):
            take(condition, start, end)
    time = next((one.column for one in columns if table.columns[one.column] == "time"), "")
    for condition, start, end in _dates(low, time or next(iter(table.of_kind("time")), "")):
        take(condition, start, end)
    for condition, start, end in _values(question, low, table, columns):
        take(condition, start, end)
    return _merged(found), taken


def _figures(low: str, one: Mention, table: Table) -> list[tuple[Condition, int, int]]:
    """Comparisons with a number, after the column (`latency above 5`) or before it (`more than 5 items`)."""
    if table.columns[one.column] == "time":
        return []
    after = low[one.end :]
    if match := re.match(rf"\s+(?:is |are |was |were )?between ({_NUMBER}) and ({_NUMBER})", after):
        low_end, high_end = number(match[1]), number(match[2])
        both = Condition(one.column, ">=", low_end), Condition(one.column, "<=", high_end)
        return [(both[0], one.start, one.end + match.end(1)), (both[1], one.end + match.end(1), one.end + match.end())]
    for test, words in _OPS:
        lead = r"\s*(?:(?:is|are|was|were|that is|of) )?" if test not in ("==", "!=") else r"\s*"
        if match := re.match(rf"{lead}(?:{words})\s*({_NUMBER})(?![\w-])", after):
            return [(Condition(one.column, test, number(match[1])), one.start, one.end + match.end())]
        if test in ("==", "!="):
            continue
        before = re.search(rf"(?:{words})\s+({_NUMBER})\s+(?:\w+\s+)?$", low[: one.start])
        if before and number(before[1]) is not None:
            return [(Condition(one.column, test, number(before[1])), before.start(), one.end)]
    if match := re.match(r"\s+(\d+)(?![\w.%-])", after):
        return [(Condition(one.column, "==", number(match[1])), one.start, one.end + match.end())]
    return []


def _texts(question: str, low: str, one: Mention, table: Table) -> list[tuple[Condition, int, int]]:
    """Missing cells, flags, and tests against quoted text."""
    after, before = low[one.end :], low[: one.start]
    if match := re.match(r"\s+(?:is|are|was) (not )?(?:missing|null|empty|blank|unknown|nan|none)\b", after):
        test: Test = "present" if match[1] else "missing"
        return [(Condition(one.column, test), one.start, one.end + match.end())]
    if match := re.search(r"\b(?:missing|null|empty|without(?: an?)?|no)\s+$", before):
        return [(Condition(one.column, "missing"), match.start(), one.end)]
    if table.columns[one.column] == "flag":
        if match := re.match(r"\s*(?:is|are|=|==|was)?\s*(true|false|yes|no)\b", after):
            return [(Condition(one.column, "==", match[1] in ("true", "yes")), one.start, one.end + match.end())]
        # `per member` and `by member` group; `for members`, `by members`, `are members` keep rows.
        plural = low[one.end - 1] == "s" and not one.column.lower().endswith("s")
        grouped = re.search(r"\b(?:per|each|every|which|what|compare|average|mean|and|versus|vs)(?: the)?\s+$", before)
        if not grouped and (plural or not re.search(r"\bby(?: the)?\s+$", before)):
            negated = re.search(r"\bnot(?: an?| yet| been)?\s+$", before)
            return [(Condition(one.column, "==", not negated), negated.start() if negated else one.start, one.end)]
    forms: tuple[tuple[Test, str], ...] = (
        ("contains", r"contain(?:s|ing)?|includ(?:es|ing)|mention(?:s|ing)?|like|has|with(?: the words?)?"),
        ("starts", r"start(?:s|ing)? with|begin(?:s|ning)? with"),
        ("ends", r"end(?:s|ing)? (?:with|in)"),
        ("!=", r"is not|isn't|are not|!=|not|other than"),
        ("==", r"is|are|equals?|equal to|=|==|of|was|:|named|called"),
    )
    for test, words in forms:
        if match := re.match(rf"\s*(?:that |which )?(?:{words})\s*([\"'`“‘])", after):
            for term in quoted(question[one.end + match.start(1) :])[:1]:
                end = one.end + match.end() + len(term) + 1
                value = number(term) if table.columns[one.column] == "number" else term
                return [(Condition(one.column, test, value), one.start, end)]
        if test in ("contains", "starts", "ends") and table.columns[one.column] == "text":
            found = _unquoted(question, one, table, test, words)
            if found:
                return [found]
    return []


def _unquoted(question: str, one: Mention, table: Table, test: Test, words: str) -> tuple[Condition, int, int] | None:
    """`name contains foo`: the next word, unless it is a known value or `has`/`with` merely joins a phrase."""
    match = re.match(rf"\s*(?:that |which )?(?:{words})\s+([\w.@/-]+)", question[one.end :], re.IGNORECASE)
    if match is None or re.search(r"\b(?:has|with)\s", match[0]):
        return None
    term = match[1]
    known = any(str(value).lower() == term.lower() for value, column in table.values if column == one.column)
    if known or term.lower() in ("the", "a", "an", "more", "most", "least"):
        return None
    return Condition(one.column, test, term), one.start, one.end + match.end()


def _dates(low: str, time: str) -> list[tuple[Condition, int, int]]:
    """Periods on the time column: between, from-to, after, since, before, until, in, on, during."""
    if not time:
        return []
    found: list[tuple[Condition, int, int]] = []
    for match in re.finditer(rf"\b(?:between|from) ({_DATE}) (?:and|to|until|through) ({_DATE})\b", low):
        first, last = period(match[1]), period(match[2])
        if first and last:
            found += [
                (Condition(time, ">=", first[0]), match.start(), match.end(1)),
                (_until(time, last[1]), match.end(1), match.end()),
            ]
    for match in re.finditer(
        rf"\b(after|since|from|before|until|through|in|on|during|for|of)\s+({_DATE})(?![\w-])", low
    ):
        span = period(match[2])
        if span is None:
            continue
        start, end, word = match.start(), match.end(), match[1]
        middle = match.end(1)
        if word in ("since", "from"):
            found.append((Condition(time, ">=", span[0]), start, end))
        elif word == "after":
            found.append((Condition(time, ">" if len(span[1]) > 10 else ">=", _next(span[1])), start, end))
        elif word == "before":
            found.append((Condition(time, "<", span[0]), start, end))
        elif word in ("until", "through"):
            found.append((_until(time, span[1]), start, end))
        else:
            found += [(Condition(time, ">=", span[0]), start, middle), (_until(time, span[1]), middle, end)]
    return found


def _values(question: str, low: str, table: Table, columns: list[Mention]) -> list[tuple[Condition, int, int]]:
    """Phrases that the look cell found to be values of a column, longest first."""
    found: list[tuple[Condition, int, int]] = []
    mentioned = {one.column for one in columns}
    spans = [(one.start, one.end) for one in columns]
    # A value of a column the question names wins over the same text in another column.
    order = sorted(table.values, key=lambda pair: (-len(str(pair[0])), pair[1] not in mentioned))
    used: list[Span] = []
    for value, column in order:
        text = str(value).strip().lower()
        for match in re.finditer(rf"(?<![\w.-]){re.escape(text)}(?:s|es)?(?![\w-])", low):
            start, end = match.span()
            if text in STOPWORDS and not question[start:end].isupper():
                continue
            if any(start < other_end and other_start < end for other_start, other_end in used + spans):
                continue
            if isinstance(value, int) and re.search(r"\b(?:top|bottom|first|last|which|p)\s*$", low[:start]):
                continue
            if isinstance(value, int) and column not in mentioned and table.columns[column] == "number" and value < 100:
                continue
            used.append((start, end))
            negated = _NEGATED.search(low[:start])
            begin = negated.start() if negated else start
            found.append((Condition(column, "!=" if negated else "==", value), begin, end))
    return found


def _merged(conditions: list[Condition]) -> list[Condition]:
    """Several equal-tests on one column mean any of the values."""
    merged: list[Condition] = []
    for given in dict.fromkeys(conditions):
        one = given
        same = [other for other in conditions if other.column == one.column and other.test == "=="]
        if one.test == "==" and len({str(other.value) for other in same}) > 1:
            values = tuple(dict.fromkeys(other.value for other in same if isinstance(other.value, (str, int))))
            one = Condition(one.column, "in", values)
        if one not in merged:
            merged.append(one)
    return merged


def _until(time: str, last: str) -> Condition:
    return Condition(time, "<=", last) if len(last) > 10 else Condition(time, "<", _next(last))


def _next(day: str) -> str:
    return day if len(day) > 10 else (date.fromisoformat(day) + timedelta(days=1)).isoformat()
