"""A table question in words: how the stand-in understood it. Printed with every answer over a table."""

from __future__ import annotations

from fleet_rlm.lm.offline.conditions import Condition
from fleet_rlm.lm.offline.table_question import TableQuestion

_NAMES = {
    "count": "count", "sum": "total", "mean": "mean", "median": "median", "min": "minimum", "max": "maximum",
    "std": "standard deviation", "nunique": "distinct values", "share": "share in percent", "rows": "rows",
    "first": "first", "last": "last",
}  # fmt: skip
_TESTS = {
    "contains": "contains", "starts": "starts with", "ends": "ends with", "in": "is one of", "missing": "is missing",
    "present": "is not missing",
}  # fmt: skip


def measure_name(question: TableQuestion) -> str:
    """The figure's name, e.g. `mean latency_ms` or `count`."""
    name = f"{question.quantile:.0%} quantile" if question.how == "p95" else _NAMES[question.how]
    return f"{name} of {question.measure}" if question.measure else name


def in_words(question: TableQuestion) -> str:
    """The whole question, e.g. `mean of latency_ms per service where status == 500, highest first`."""
    keys = [*question.by, *([f"{question.bucket} of {question.time}"] if question.bucket else [])]
    parts = [measure_name(question)]
    if question.how in ("first", "last"):
        parts = [f"{question.how} row by {question.time}"]
    if keys:
        parts.append("per " + " and ".join(keys))
    if question.where:
        parts.append("where " + " and ".join(condition_in_words(one) for one in question.where))
    text = " ".join(parts)
    if question.ranked:
        text += ", lowest first" if question.rising else ", highest first"
    if question.unused:
        text += f"; words not used: {', '.join(question.unused)}"
    return text


def condition_in_words(one: Condition) -> str:
    test = _TESTS.get(one.test, one.test)
    if one.test in ("missing", "present"):
        return f"{one.column} {test}"
    value = ", ".join(map(str, one.value)) if isinstance(one.value, tuple) else one.value
    return f"{one.column} {test} {value}"
