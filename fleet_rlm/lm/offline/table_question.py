"""What a question asks of one table: conditions, measure, groups, order. Read by rules against the table's columns.

`read_table_question` returns None unless the question's words are accounted for: columns, values, figures of speech it
knows. A word it could not place refuses the question, for it may have narrowed it; only a verb beside a condition is
kept as `unused` and shown with the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from fleet_rlm.lm.offline.conditions import Condition, read_conditions
from fleet_rlm.lm.offline.mentions import Mention, find_columns
from fleet_rlm.lm.offline.schema import Table
from fleet_rlm.lm.offline.unused import unused_words
from fleet_rlm.lm.offline.words import small_number

How = Literal["count", "sum", "mean", "median", "min", "max", "std", "nunique", "share", "p95", "rows", "first", "last"]

_HOW: tuple[tuple[How, str], ...] = (
    ("nunique", r"\b(?:distinct|unique|different)\b"),
    ("share", r"\b(?:share|fraction|percentage|percent|proportion|rate)\b"),
    ("p95", r"\bp\d\d\b|\b\d\d(?:th)? percentile\b"),
    ("median", r"\bmedian\b"),
    ("mean", r"\b(?:average|mean|avg|typical)\b"),
    ("std", r"\b(?:standard deviation|stddev|std)\b"),
    ("sum", r"\b(?:total|sum|combined|overall|altogether|how much)\b"),
    ("count", r"\b(?:how many|number of|count(?:s|ed)?|most common|least common|most frequent|how often)\b"),
    ("max", r"\bmax(?:imum)?\b"),
    ("min", r"\bmin(?:imum)?\b"),
)
_MOST = re.compile(
    r"\b(?:most|highest|largest|biggest|greatest|maximum|max|top|best|longest|slowest|latest|heaviest|dearest)\b"
)
_LEAST = re.compile(r"\b(?:least|lowest|smallest|fewest|minimum|min|bottom|worst|shortest|fastest|cheapest|rarest)\b")
_BY_COUNT = re.compile(
    r"\b(?:(?:most|least) (?:common|frequent|often)|rarest|top|bottom|fewest|(?<!is the )most [a-z]+)\b"
)
_YES_NO = re.compile(r"\s*(?:is|are|do|does|did|was|were|can|could|has|have|should|will)\b")
_BUCKETS = {
    "daily": "day",
    "monthly": "month",
    "hourly": "hour",
    "yearly": "year",
    "weekly": "week",
    "quarterly": "quarter",
}
_BUCKET = r"(hour of (?:the )?day|day of the week|weekday|day|date|month|hour|year|week|quarter|minute)"
_ADDITIVE = re.compile(
    r"amount|sales|revenue|total|sum|quantity|qty|units|count|cost|bytes|volume|profit|spend|fee|paid|number"
)

_PER = re.compile(r"\b(?:per|for each|for every|each|every|grouped by|group by|across|broken down by)(?: the)?$")
_TOP = re.compile(r"\b(?:top|bottom)(?: \w+)?$|\b(?:most|least) (?:common|frequent)$")
_WHICH = re.compile(r"\b(?:which|what)(?: (?:are )?(?:the )?(?:top )?\w*)?$")
_COUNTED = re.compile(r"\b(?:most|fewest|least|more|fewer|many)$")


@dataclass(frozen=True)
class TableQuestion:
    """One question about one table."""

    how: How
    measure: str = ""
    """The column that is aggregated, listed or searched; "" when rows are counted."""
    by: tuple[str, ...] = ()
    """Columns the rows are grouped by."""
    bucket: str = ""
    """A part of `time` to group by: minute, hour, day, week, month, quarter, year, weekday or hour of day."""
    time: str = ""
    """The time column that `bucket`, `first` and `last` use."""
    where: tuple[Condition, ...] = ()
    top: int = 0
    """How many groups or rows are asked for; 0 for all."""
    ranked: bool = False
    """Whether the order matters."""
    rising: bool = False
    quantile: float = 0.95
    unused: tuple[str, ...] = ()
    """Words of the question the rules could not place."""

    @property
    def grouped(self) -> bool:
        return bool(self.by or self.bucket)


def read_table_question(question: str, table: Table) -> TableQuestion | None:
    """The question as a typed value, or None when it does not fit this table."""
    low = question.lower()
    if _YES_NO.match(low):
        return None
    columns = find_columns(question, table)
    conditions, taken = read_conditions(question, table, columns)
    free = [one for one in columns if not any(one.start < end and start < one.end for start, end in taken)]
    by, compared = _groups(question, table, free, conditions)
    bucket = _bucket(low)
    times = [one.column for one in columns if table.columns[one.column] == "time"] + table.of_kind("time")
    time = times[0] if times else ""
    least, most = bool(_LEAST.search(low)), bool(_MOST.search(low))
    base = TableQuestion(
        "rows", by=tuple(by), bucket=bucket, time=time, where=tuple(conditions), ranked=least or most,
        rising=least and not most, top=_top(low), quantile=_quantile(low),
    )  # fmt: skip
    figure = _figure(low, base, [one for one in free if one.column not in by], table)
    if figure is None or (bucket and not time):
        return None
    how, measure = figure
    top = base.top
    if compared:
        top = 0
    elif base.grouped and base.ranked and not top:
        top = 1 if re.search(r"\b(?:which|what)\b", low) else 0
    used = {*by, measure, time, *(one.column for one in conditions)}
    placed = [one for one in columns if one.column in used]
    unused = unused_words(question, table, placed, taken, base.top)
    if _narrowing(unused, base) or not _is_whole(how, measure, base, unused):
        return None
    return replace(base, how=how, measure="" if how == "count" else measure, top=top, unused=tuple(unused))


def leftover(question: str, table: Table) -> list[str]:
    """The words that nothing in this table explains: why a question was refused."""
    columns = find_columns(question, table)
    return unused_words(question, table, columns, read_conditions(question, table, columns)[1], _top(question.lower()))


def _figure(low: str, base: TableQuestion, free: list[Mention], table: Table) -> tuple[How, str] | None:
    """What is computed, and of which column; None when a column is needed and none is named."""
    how = next((name for name, cue in _HOW if re.search(cue, low)), None)
    measure = _measure(how, free, table)
    moment = re.search(r"\b(first|last|earliest|latest)\b", low)
    if how is None and base.time and not base.grouped and (moment or re.match(r"\s*when\b", low)):
        return ("last" if moment and moment[1] in ("last", "latest") else "first"), base.time
    if how == "share" and not base.where:
        how = None
    if how == "count" and (things := _things(low, free)):
        return "nunique", things
    if how is None:
        how = "rows" if free and base.where and not base.ranked else _default(low, measure, base)
    needs_measure = how not in ("count", "share", "rows", "first", "last")
    return None if how is None or (needs_measure and not measure) else (how, measure)


def _is_whole(how: How, measure: str, base: TableQuestion, unused: list[str]) -> bool:
    """Whether something is asked that rows can answer."""
    return bool(measure or base.grouped or base.where) or (how == "count" and not unused)


def _narrowing(unused: list[str], base: TableQuestion) -> list[str]:
    """The words that may narrow the question; `failed with status 500`: a verb beside a condition adds nothing."""
    return [word for word in unused if not (base.where and word.endswith("ed"))]


def _quantile(low: str) -> float:
    ratio = re.search(r"\bp(\d\d)\b|\b(\d\d)(?:th)? percentile", low)
    return int(ratio[1] or ratio[2]) / 100 if ratio else 0.95


def _groups(question: str, table: Table, free: list[Mention], conditions: list[Condition]) -> tuple[list[str], bool]:
    """The grouping columns, and whether they come from a comparison of values."""
    low = question.lower()
    if re.search(r"\b(?:compare|compared|comparison|versus|vs|which of)\b", low):
        listed = [one.column for one in conditions if one.test == "in"]
        listed += [one.column for one in free if table.columns[one.column] == "flag"]
        if listed:
            return listed[:1], True
    ranked = bool(_MOST.search(low) or _LEAST.search(low))
    found: list[str] = []
    for index, one in enumerate(free):
        before, after = low[: one.start].rstrip(), low[one.end :].lstrip()
        kind = "text" if _is_identifier(one.column) else table.columns[one.column]
        joined = bool(found) and free[index - 1].column in found and re.search(r"\band(?: the)?$", before)
        if _COUNTED.search(before):
            continue  # `the most orders`: what is counted, not what it is counted by
        figure = kind == "number" and index + 1 == len(free) and " common" not in low
        names = (
            _PER.search(before)
            or (kind != "number" and (joined or re.search(r"\bby(?: the)?$", before)))
            or (kind != "time" and (_TOP.search(before) or (ranked and not figure and _WHICH.search(before))))
            or (kind in ("text", "flag") and ranked and re.match(r"(?:with|have|has|had|having|that|by)\b", after))
        )
        if names and one.column not in found:
            found.append(one.column)
    return found[:2], False


def _bucket(low: str) -> str:
    named = re.search(rf"\b(?:per|by|each|every|which|what|over the)\s+{_BUCKET}s?\b", low)
    if named:
        names = {"date": "day", "day of the week": "weekday", "hour of the day": "hour of day"}
        return names.get(named[1], named[1])
    return next((part for word, part in _BUCKETS.items() if re.search(rf"\b{word}\b", low)), "")


def _measure(how: How | None, free: list[Mention], table: Table) -> str:
    if how == "nunique":
        return free[0].column if free else ""
    figures = [one.column for one in free if table.columns[one.column] in ("number", "flag")]
    numbers = [column for column in figures if not _is_identifier(column)]
    if how in ("min", "max", None):
        numbers += [one.column for one in free if table.columns[one.column] == "time"]
    return numbers[0] if numbers else ""


def _things(low: str, free: list[Mention]) -> str:
    """The identifier that is counted in `how many users`: its distinct values, not the rows."""
    for one in free:
        if _is_identifier(one.column) and re.search(r"\b(?:how many|number of)(?: the)?$", low[: one.start].rstrip()):
            return one.column
    return ""


def _is_identifier(column: str) -> bool:
    return bool(re.search(r"(?:^|[_ ])(?:id|code|key|uuid)$|[a-z]I[dD]$", column))


def _default(low: str, measure: str, base: TableQuestion) -> How | None:
    """The aggregate meant where none is named."""
    listed = re.search(r"\b(?:show|list|find|give|which|top|what)\b", low)
    if listed and re.search(r"\b(?:rows?|records?|entries)\b", low):
        return "rows"
    if not measure:
        return "count" if base.ranked and base.grouped and _BY_COUNT.search(low) else None
    if base.grouped:
        total = re.search(r"\bmost\b|\bleast\b", low) or _ADDITIVE.search(measure.lower())
        return "sum" if total else "mean"
    if re.search(r"\btop \w+", low):
        return "rows"
    return ("min" if base.rising else "max") if base.ranked else None


def _top(low: str) -> int:
    """How many groups or rows are asked for: `top 5`, `the three largest`; `top customer` is one; else 0."""
    superlative = r"(?:most|least|highest|lowest|largest|smallest)"
    said = rf"\b(?:top|bottom|which|the|first|last)\s+(?=(\w+))|\b(\w+)(?= {superlative}\b)"
    for match in re.finditer(said, low):
        if count := small_number(match[1] or match[2] or ""):
            return count
    return 1 if re.search(r"\b(?:top|bottom) \w*[^s\W]\b", low) else 0
