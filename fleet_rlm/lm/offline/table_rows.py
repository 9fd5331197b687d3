"""Answering a table question in process over a few rows, in plain Python: the direct answer's counterpart of the cells.

Nothing is evaluated or executed. Rows are records whose text cells are turned into numbers and dates where a whole
column allows it.
"""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fleet_rlm.lm.offline.conditions import Condition
from fleet_rlm.lm.offline.guest_figures import evidence, report_groups, report_rows, report_share, report_single
from fleet_rlm.lm.offline.guest_tables import told_apart
from fleet_rlm.lm.offline.reading import in_words, measure_name
from fleet_rlm.lm.offline.schema import Table
from fleet_rlm.lm.offline.table_question import TableQuestion
from fleet_rlm.lm.offline.words import number

Row = dict[str, Any]
_FORMATS = {
    "minute": "%Y-%m-%d %H:%M:00", "hour": "%Y-%m-%d %H:00:00", "day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y",
    "week": "%G-W%V", "weekday": "%A",
}  # fmt: skip


def read_frame(text: str) -> tuple[list[str], list[Row]] | None:
    """Columns and rows of a frame or series written with its nameless index, or None for any other text."""
    if text == '""' or text.startswith('""\n'):  # a frame without columns
        return [], [{} for _ in text.splitlines()[1:]]
    if not text.startswith(","):
        return None
    head, *cells = list(csv.reader(io.StringIO(text)))
    index = next((at for at, name in enumerate(head) if name), len(head))
    if not index < len(head) or any(len(row) != len(head) for row in cells) or any(row[0] == "" for row in cells[:1]):
        return None  # a header of several lines, or no frame at all
    columns = [*("#" * (at + 1) for at in range(index)), *told_apart(head[index:])]
    rows: list[Row] = [dict(zip(columns, row, strict=True)) for row in cells]
    if index == 1 and all(row["#"] == str(at) for at, row in enumerate(rows)):
        return columns[1:], [{name: row[name] for name in columns[1:]} for row in rows]  # numbers that say nothing
    return columns, rows


def table_of(name: str, rows: list[Row], phrases: list[str], columns: list[str] | None = None) -> Table:
    """Type the rows in place and describe them as the look cell would; `columns` may name those of no rows."""
    table = Table(name, len(rows))
    for column in columns or dict.fromkeys(str(key) for row in rows for key in row):
        cells = [row.get(column) for row in rows if row.get(column) not in (None, "")]
        kind, convert = _kind(cells)
        for row in rows:
            cell = row.get(column)
            row[column] = None if cell in (None, "") else convert(cell)
        table.columns[column] = kind
        if kind in ("text", "number"):
            known = dict.fromkeys(row[column] for row in rows if isinstance(row[column], (str, int)))
            table.values += [(value, column) for value in known if str(value).strip().lower() in phrases]
    return table


def evaluate(question: TableQuestion, rows: list[Row]) -> str:
    """The answer's text without the label."""
    kept = [row for row in rows if all(_holds(one, row.get(one.column)) for one in question.where)]
    name, reading = measure_name(question), in_words(question)
    if question.how in ("rows", "first", "last"):
        chosen = _chosen(question, kept)
        moment = question.how in ("first", "last")
        head = f"{question.how.capitalize()}: {chosen[0][question.time]}" if moment and chosen else ""
        return report_rows(chosen, len(chosen) if moment or question.top else len(kept), head, reading)
    if question.grouped:
        return report_groups(
            _results(question, rows, kept), name, question.ranked, question.rising, question.top, reading
        )
    if question.how == "share":
        return report_share(len(kept), len(rows), reading)
    value = _figure(question, kept)
    text = report_single(value, name, len(kept), len(rows), reading)
    if question.how in ("min", "max"):
        text += evidence([row for row in kept if row.get(question.measure) == value][:3])
    return text


def _kind(cells: list[Any]) -> tuple[str, Callable[[Any], Any]]:
    if cells and all(isinstance(cell, bool) or str(cell).lower() in ("true", "false") for cell in cells):
        return "flag", lambda cell: str(cell).lower() == "true"
    if cells and all(_plain_number(cell) is not None for cell in cells):
        return "number", _plain_number
    if cells and all(re.match(r"\d{4}-\d\d-\d\d", str(cell)) for cell in cells):
        return "time", lambda cell: datetime.fromisoformat(str(cell).replace("Z", "+00:00")).replace(tzinfo=None)
    return "text", lambda cell: cell if isinstance(cell, str) else str(cell)


def _plain_number(cell: Any) -> float | int | None:
    if isinstance(cell, (int, float)):
        return cell
    return number(cell) if re.fullmatch(r"-?\d+(?:\.\d+)?", str(cell).strip()) else None


def _holds(one: Condition, cell: Any) -> bool:
    if one.test in ("missing", "present"):
        return (cell is None) == (one.test == "missing")
    if cell is None:
        return one.test == "!="
    if one.test == "in":
        return isinstance(one.value, tuple) and cell in one.value
    if one.test in ("contains", "starts", "ends"):
        text, part = str(cell).lower(), str(one.value).lower()
        return {"contains": part in text, "starts": text.startswith(part), "ends": text.endswith(part)}[one.test]
    value: Any = datetime.fromisoformat(str(one.value)) if isinstance(cell, datetime) else one.value
    comparisons: dict[str, Callable[[], bool]] = {
        "==": lambda: bool(cell == value), "!=": lambda: bool(cell != value), ">": lambda: bool(cell > value),
        ">=": lambda: bool(cell >= value), "<": lambda: bool(cell < value), "<=": lambda: bool(cell <= value),
    }  # fmt: skip
    return comparisons[one.test]()


def _figure(question: TableQuestion, rows: list[Row]) -> Any:
    if question.how == "count":
        return len(rows)
    cells = [row[question.measure] for row in rows if row.get(question.measure) is not None]
    if question.how == "nunique":
        return len(set(cells))
    if not cells:
        return 0 if question.how == "sum" else None
    if question.how == "p95":
        return _quantile(sorted(cells), question.quantile)
    if question.how == "std":
        return statistics.stdev(cells) if len(cells) > 1 else None
    by_name: dict[str, Callable[[list[Any]], Any]] = {
        "sum": math.fsum, "mean": statistics.fmean, "median": statistics.median, "min": min, "max": max,
    }  # fmt: skip
    return by_name[question.how](cells)


def _quantile(cells: list[float], ratio: float) -> float:
    place = ratio * (len(cells) - 1)
    low = math.floor(place)
    high = min(low + 1, len(cells) - 1)
    return cells[low] + (cells[high] - cells[low]) * (place - low)


def _results(question: TableQuestion, rows: list[Row], kept: list[Row]) -> list[tuple[Any, Any, int]]:
    def key(row: Row) -> tuple[Any, ...] | None:
        parts = [row.get(column) for column in question.by]
        if question.bucket:
            moment = row.get(question.time)
            parts.append(None if moment is None else _part(moment, question.bucket))
        return None if any(part is None for part in parts) else tuple(parts)

    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows if question.how == "share" else kept:
        if (place := key(row)) is not None:
            groups.setdefault(place, []).append(row)
    inside = {id(row) for row in kept}
    results = []
    for place in sorted(groups, key=lambda parts: [(isinstance(part, str), part) for part in parts]):
        members = groups[place]
        share = 100 * sum(id(row) in inside for row in members) / len(members)
        value = share if question.how == "share" else _figure(question, members)
        results.append((" / ".join(map(str, place)), value, len(members)))
    if question.ranked:
        results.sort(key=lambda one: (one[1] is None, one[1] if question.rising else -(one[1] or 0)))
    return results


def _part(moment: datetime, bucket: str) -> str | int:
    if bucket == "hour of day":
        return moment.hour
    if bucket == "quarter":
        return f"{moment.year}Q{(moment.month + 2) // 3}"
    return moment.strftime(_FORMATS[bucket])


def _chosen(question: TableQuestion, kept: list[Row]) -> list[Row]:
    column = question.time if question.how in ("first", "last") else question.measure
    if not column:
        return kept[: question.top or 20]
    present = [row for row in kept if row.get(column) is not None]
    down = question.how == "last" or (question.how == "rows" and not question.rising)
    ordered = sorted(present, key=lambda row: row[column], reverse=down)
    return ordered[: (question.top or 1) if question.how == "rows" else 1]
