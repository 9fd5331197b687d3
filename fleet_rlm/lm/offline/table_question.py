"""What a question asks of one table: conditions, measure, groups, order. Read by rules against the table's columns.

`read_table_question` returns None unless the question's words are accounted for: columns, values, figures of speech it
knows. Words it could not place are kept as `unused` and shown with the answer; where they would have narrowed a bare
count, the question is refused instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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
_YES_NO = re.compile(r"\s*(?:is|are|do|does|did|was|were|can|could|has|have|should|will)\b")
_BUCKETS = {
    "daily": "day",
    "monthly": "month",
    "hourly": "hour",
    "yearly": "year",
    "weekly": "week",
    "quarterly": "quarter",
}
_BUCKET = r"(day of the week|weekday|day|date|month|hour|year|week|quarter|minute)"
_ADDITIVE = re.compile(
    r"amount|sales|revenue|total|sum|quantity|qty|units|count|cost|bytes|volume|profit|spend|fee|paid|number"
)


@dataclass(frozen=True)
class TableQuestion:
    """One question about one table."""

    how: How
    measure: str = ""
    """The column that is aggregated, listed or searched; "" when rows are counted."""
    by: tuple[str, ...] = ()
    """Columns the rows are grouped by."""
    bucket: str = ""
    """day, week, month, quarter, year, hour, minute or weekday: rows are grouped by this part of `time`."""
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
    time = next((one.column for one in columns if table.columns[one.column] == "time"), "") or next(
        iter(table.of_kind("time")), ""
    )
    if bucket and not time:
        return None
    measures = [one for one in free if one.column not in by]
    how = next((name for name, cue in _HOW if re.search(cue, low)), None)
    least, most = _LEAST.search(low), _MOST.search(low)
    ranked, top = bool(least or most), _top(low)
    measure = _measure(how, measures, table)
    moment = re.search(r"\b(first|last|earliest|latest)\b", low)
    if (re.match(r"\s*when\b", low) or moment) and time and not (by or bucket) and how is None:
        how = "last" if moment and moment[1] in ("last", "latest") else "first"
        measure = time
    if how == "share" and measure and not conditions:
        how = None
    if how == "count" and (things := _things(low, measures)):
        how, measure = "nunique", things
    if how is None:
        looked_up = bool(free and conditions and not ranked)
        how = "rows" if looked_up else _default(low, measure, bool(by or bucket), ranked, bool(least and not most))
    if how is None or (how not in ("count", "share", "rows", "first", "last") and not measure):
        return None
    if how == "share" and not conditions:
        return None
    if compared or ((by or bucket) and ranked and not top):
        top = 0 if compared else 1 if re.search(r"\b(?:which|what)\b", low) else 0
    unused = unused_words(question, table, columns, taken, top)
    # `failed with status 500`: a verb beside a condition adds nothing; any other word might have narrowed the count.
    narrow = how in ("count", "share", "nunique") and [
        word for word in unused if not (conditions and word.endswith("ed"))
    ]
    placed = bool(measure or by or bucket or conditions)
    if (not placed and (unused or how != "count")) or narrow:
        return None
    if len(unused) > 3:
        return None
    ratio = re.search(r"\bp(\d\d)\b|\b(\d\d)(?:th)? percentile", low)
    return TableQuestion(
        how=how, measure=measure if how != "count" else "", by=tuple(by), bucket=bucket, time=time,
        where=tuple(conditions), top=top, ranked=ranked, rising=bool(least and not most),
        quantile=int(ratio[1] or ratio[2]) / 100 if ratio else 0.95, unused=tuple(unused),
    )  # fmt: skip


def _groups(question: str, table: Table, free: list[Mention], conditions: list[Condition]) -> tuple[list[str], bool]:
    """The grouping columns, and whether they come from a comparison of values."""
    low = question.lower()
    if re.search(r"\b(?:compare|compared|comparison|versus|vs|which of)\b", low):
        listed = [one.column for one in conditions if one.test == "in"]
        if listed:
            return listed[:1], True
    found: list[str] = []
    for index, one in enumerate(free):
        before, after = low[: one.start].rstrip(), low[one.end :].lstrip()
        kind = "text" if _is_identifier(one.column) else table.columns[one.column]
        per = re.search(
            r"(?:\b(?:per|for each|for every|each|every|grouped by|group by|across|broken down by)(?: the)?)$", before
        )
        by = re.search(r"\bby(?: the)?$", before) and kind != "number"
        which = re.search(r"\b(?:which|what)(?: (?:are )?(?:the )?(?:top )?\w*)?$", before) and kind in (
            "text",
            "flag",
            "number",
        )
        which = (
            which
            and bool(_MOST.search(low) or _LEAST.search(low))
            and (kind != "number" or index + 1 < len(free) or " common" in low)
        )
        ranked = re.search(
            r"\b(?:top|bottom)(?: \w+)?$|\bmost (?:common|frequent)$|\bleast (?:common|frequent)$", before
        )
        holder = re.match(r"(?:with|have|has|had|having|that|by)\b", after) and (
            _MOST.search(low) or _LEAST.search(low)
        )
        also = found and re.search(r"\band(?: the)?$", before) and kind != "number" and free[index - 1].column in found
        if re.search(r"\b(?:most|fewest|least|more|fewer|many)$", before):
            continue  # `the most orders`: what is counted, not what it is counted by
        names = per or by or which or also or (ranked and kind != "time") or (holder and kind in ("text", "flag"))
        if names and one.column not in found:
            found.append(one.column)
    return found[:2], False


def _bucket(low: str) -> str:
    named = re.search(rf"\b(?:per|by|each|every|which|what|over the)\s+{_BUCKET}s?\b", low)
    if named:
        return {"date": "day", "day of the week": "weekday"}.get(named[1], named[1])
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


def _default(low: str, measure: str, grouped: bool, ranked: bool, rising: bool) -> How | None:
    """The aggregate meant where none is named."""
    if re.search(r"\b(?:rows?|records?|entries)\b", low) and re.search(
        r"\b(?:show|list|find|give|which|top|what)\b", low
    ):
        return "rows"
    if not measure:
        return "count" if ranked and grouped else None
    if grouped:
        words_of_total = re.search(r"\bmost\b|\bleast\b", low) or _ADDITIVE.search(measure.lower())
        return "sum" if words_of_total else "mean"
    if re.search(r"\btop \w+", low):
        return "rows"
    return ("min" if rising else "max") if ranked else None


def _top(low: str) -> int:
    """How many groups or rows are asked for: `top 5`, `the three largest`; `top customer` is one; else 0."""
    superlative = r"(?:most|least|highest|lowest|largest|smallest)"
    said = rf"\b(?:top|bottom|which|the|first|last)\s+(?=(\w+))|\b(\w+)(?= {superlative}\b)"
    for match in re.finditer(said, low):
        if count := small_number(match[1] or match[2] or ""):
            return count
    return 1 if re.search(r"\b(?:top|bottom) \w*[^s\W]\b", low) else 0
