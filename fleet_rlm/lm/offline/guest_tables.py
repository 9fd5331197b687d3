"""Functions over tables whose source the stand-in writes into its code cells: see a value as rows, describe columns.

`as_table` knows frames, Arrow tables, arrays, lists of records, mappings of equal columns, and text in a regular layout
(CSV, TSV, JSON lines, `key: value` or `key=value` lines, time-level-message logs). pandas is imported where it is used.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any


def rows_of_text(text: str) -> list[dict[str, Any]]:
    """The records a regular text holds, or an empty list: at least two lines in nine of ten must fit one layout."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return []
    if lines[0].lstrip().startswith("{") and lines[0].rstrip().endswith("}"):
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            return []
    for mark in (",", "\t", ";", "|"):
        head = next(csv.reader([lines[0]], delimiter=mark))
        head[0] = head[0] or "#"  # the nameless index column of a written frame
        if len(head) > 1 and all(
            name == "#" or re.fullmatch(r"\s*[A-Za-z_][\w .()/%-]{0,40}\s*", name) for name in head
        ):
            cells = [row for row in csv.reader(io.StringIO(text), delimiter=mark) if row]
            whole = [row for row in cells[1:] if len(row) == len(head)]
            if len(whole) >= 0.9 * len(cells[1:]) > 0:
                return [dict(zip((name.strip() for name in head), row, strict=True)) for row in whole]
    log = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?Z?)\]?\s+\[?([A-Z]{4,8})\]?:?\s+(.*)")
    pairs = re.compile(
        r"(?:^|\|\||[;,\t ])\s*([A-Za-z_][\w .-]{0,30}?)\s*:\s*(.*?)\s*(?=\|\||[;,\t](?=\s*[A-Za-z_][\w .-]{0,30}:)|$)"
    )
    equal = re.compile(r"([A-Za-z_][\w.-]*)=(\"[^\"]*\"|\S+)")
    rows = []
    for line in lines:
        entry = log.match(line)
        row = {"time": entry[1].replace(",", "."), "level": entry[2], "message": entry[3]} if entry else {}
        found = equal.findall(entry[3] if entry else line) or ([] if entry else pairs.findall(line))
        row.update({key.strip(): value.strip('"') for key, value in found})
        rows.append(row)
    names = [name for name in rows[0] if sum(name in row for row in rows) >= 0.9 * len(rows)]
    return [row for row in rows if row] if names and sum(map(bool, rows)) >= 0.9 * len(rows) else []


def as_table(value: Any) -> Any:
    """The value as a DataFrame with typed columns, or None when it is not tabular."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        named = value.index.name and value.index.name not in value.columns
        return tidy(value.reset_index() if named else value)
    if isinstance(value, pd.Series):
        return tidy(value.rename("value" if value.name is None else str(value.name)).to_frame())
    if hasattr(value, "to_pandas"):
        return tidy(value.to_pandas())
    if type(value).__name__ == "ndarray":
        if value.dtype.names:
            if value.ndim != 1 or any(value[name].ndim > 1 for name in value.dtype.names):
                raise ValueError("an array of records in several dimensions is no table")
            return tidy(
                pd.DataFrame({name: value[name].astype(native(value[name].dtype)) for name in value.dtype.names})
            )
        if value.ndim == 0:
            raise ValueError("an array without dimensions is one value, no table")
        width = 1
        for size in value.shape[1:]:
            width *= size
        names = [f"column_{index}" for index in range(width)] if value.ndim > 1 else ["value"]
        return pd.DataFrame(value.astype(native(value.dtype)).reshape(len(value), width), columns=names)
    if isinstance(value, str):
        sample = value[:20_000].rpartition("\n")[0] or value
        value = rows_of_text(value) if rows_of_text(sample) else []
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = rows_of_text("\n".join(value))
    if isinstance(value, (list, tuple)) and value and all(isinstance(row, dict) for row in value):
        table = pd.DataFrame(list(value))
    elif isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        if len({len(column) for column in value.values()}) > 1:
            return None
        table = pd.DataFrame(value)
    elif isinstance(value, list) and value and all(isinstance(item, (int, float)) for item in value):
        table = pd.DataFrame({"value": value})
    else:
        return None
    return typed(table)


def native(dtype: Any) -> Any:
    """The dtype in this machine's byte order: pandas computes in no other."""
    return dtype.newbyteorder("=") if getattr(dtype, "byteorder", "=") in ("<", ">") else dtype


def told_apart(names: list[str]) -> list[str]:
    """The names, equal ones numbered from the left: `a #1`, `a #2`."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(f"{name} #{seen[name]}" if names.count(name) > 1 else name)
    return found


def tidy(table: Any) -> Any:
    """The frame with columns of distinct text names, native numbers, and text cells that can be written out."""
    table = table.copy(deep=False)
    levels = [name if isinstance(name, tuple) else (name,) for name in table.columns]
    table.columns = told_apart([" ".join(str(part) for part in parts if str(part)) for parts in levels])
    lone = re.compile(r"[\ud800-\udfff]")
    for name in table.columns:
        column = table[name]
        if getattr(column.dtype, "byteorder", "=") in ("<", ">"):
            table[name] = column.astype(native(column.dtype))
        elif column.dtype == object:
            broken = column.map(lambda item: isinstance(item, str) and not item.isascii() and bool(lone.search(item)))
            if broken.any():
                table[name] = column.map(
                    lambda item: item.encode("utf-8", "backslashreplace").decode() if isinstance(item, str) else item
                )
    return table


def typed(table: Any) -> Any:
    """The table with columns of text that all read as numbers or dates converted to them."""
    import pandas as pd

    for name in table.columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
            continue
        present = column.dropna()
        present = present[present.map(lambda item: isinstance(item, str) and bool(item.strip()))]
        if not len(present) or len(present) < column.notna().sum() * 0.9:
            continue
        numbers = pd.to_numeric(present, errors="coerce")
        if numbers.notna().all():
            table[name] = pd.to_numeric(column, errors="coerce")
        elif present.str.match(r"\d{4}-\d\d-\d\d").all():
            table[name] = pd.to_datetime(column, errors="coerce", format="mixed", utc=False)
    return table


def describe(name: str, table: Any, phrases: list[str]) -> None:
    """Print size, columns and which phrases of the question are values of which column."""
    import pandas as pd

    print(f"table `{name}`: {len(table):,} rows")
    for column in table.columns:
        series = table[column]
        if pd.api.types.is_bool_dtype(series):
            kind, about = "flag", f"{series.mean():.1%} true"
        elif pd.api.types.is_numeric_dtype(series):
            kind, about = "number", f"{series.min()} .. {series.max()}"
        elif pd.api.types.is_datetime64_any_dtype(series):
            kind, about = "time", f"{series.min()} .. {series.max()}"
        else:
            kind, about = "text", ", ".join(str(item)[:30] for item in series.dropna().head(3))
        print(f"column {json.dumps(str(column))}: {kind}, {about}")
        if kind == "text" or (kind == "number" and pd.api.types.is_integer_dtype(series)):
            for item in series.dropna().astype(str if kind == "text" else series.dtype).unique()[:200_000]:
                if str(item).strip().lower() in phrases:
                    print(
                        f"value {json.dumps(item if kind == 'text' else int(item))} in column {json.dumps(str(column))}"
                    )
