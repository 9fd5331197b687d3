"""A bounded description of a value: all that a prompt ever holds of it.

Type, size and a preview, whatever the value's size. Only the standard library and no import of this package, because
the same text is run inside a sandbox to describe what a child was given; values are recognised by shape, not by class.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence, Set
from itertools import islice
from typing import Any

PREVIEW_CHARS = 1_000
COLUMNS = 60
ROWS = 5
FILES = 20


def describe(name: str, value: Any, chars: int = PREVIEW_CHARS) -> dict[str, str]:
    """`{"name", "type", "size", "preview"}` of a value; never longer than about `chars` plus column names.

    A value whose own repr or columns raise is described by its type alone.
    """
    kind = type_name(value)
    try:
        size, preview = _size_and_preview(value, kind, chars)
    except Exception as error:  # the value's own code ran (repr, len, head): its fault must not end the run
        size, preview = "unknown size", f"(no preview: {type(error).__name__})"
    return {"name": name, "type": kind, "size": size, "preview": preview}


def prompt_text(variable: Mapping[str, str]) -> str:
    """The description as it stands in a prompt."""
    return (
        f"Variable: `{variable['name']}` (access it in your code)\nType: {variable['type']}\n"
        f"Description: {variable['size']}\nPreview:\n```\n{variable['preview']}\n```"
    )


def type_name(value: Any) -> str:
    """`str`, `pandas.DataFrame`, `pyarrow.Table`, ...: the top package and the class."""
    if hasattr(value, "file_sizes"):
        return "directory"
    cls = type(value)
    package = (cls.__module__ or "").partition(".")[0]
    return cls.__qualname__ if package in ("builtins", "__main__", "") else f"{package}.{cls.__qualname__}"


def clipped(text: str, chars: int) -> str:
    """Head and tail of a text, with the number of characters left out between them."""
    if len(text) <= chars:
        return text
    half = chars // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half:,} characters not shown) ...\n{text[len(text) - half :]}"


def _size_and_preview(value: Any, kind: str, chars: int) -> tuple[str, str]:
    if isinstance(value, str):
        return f"{len(value):,} characters", clipped(value, chars)
    if hasattr(value, "ends"):  # a file: granted outside the sandbox, a text or a lazy text inside
        size, head, tail = value.ends(chars)
        return f"{size:,} bytes of text", f"{head}\n... (not shown) ...\n{tail}" if tail else head
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value):,} bytes", repr(bytes(value[: chars // 4]))
    if kind == "pandas.DataFrame":
        return _frame(value, chars)
    if kind == "pandas.Series":
        return f"{len(value):,} values, dtype {value.dtype}", clipped(value.head(ROWS).to_csv(), chars)
    if kind in ("pyarrow.Table", "pyarrow.RecordBatch"):
        size = f"{value.num_rows:,} rows x {value.num_columns:,} columns"
        columns = "\n".join(f"{field.name}: {field.type}" for field in islice(value.schema, COLUMNS))
        return size, f"{columns}\n\n{clipped(_plain(value.slice(0, ROWS).to_pydict(), chars), chars)}"
    if kind == "numpy.ndarray":
        head = value.reshape(-1)[:20].tolist()
        return f"shape {value.shape}, dtype {value.dtype}", clipped(f"first values: {head}", chars)
    if hasattr(value, "file_sizes"):
        return _directory(value.file_sizes())
    if isinstance(value, Mapping):
        keys = list(islice(value, 50))
        shown = {key: _brief(value[key]) for key in keys}
        return f"{len(value):,} keys", clipped(_plain(shown, chars), chars)
    if isinstance(value, (Sequence, Set)):
        kinds = sorted({type_name(item) for item in islice(value, 100)})
        items = [_brief(item) for item in islice(value, 20)]
        of = f" of {' | '.join(kinds[:4])}" if kinds else ""
        return f"{len(value):,} items{of}", clipped(_plain(items, chars), chars)
    return "one value", clipped(reprlib.repr(value), chars)


def _frame(frame: Any, chars: int) -> tuple[str, str]:
    rows, width = frame.shape
    columns = [f"{name}: {dtype}" for name, dtype in islice(zip(frame.columns, frame.dtypes, strict=True), COLUMNS)]
    if width > COLUMNS:
        columns.append(f"... and {width - COLUMNS:,} more columns")
    head = clipped(frame.iloc[:ROWS, :COLUMNS].to_csv(index=False), chars)
    return f"{rows:,} rows x {width:,} columns", "\n".join(columns) + "\n\n" + head


def _directory(sizes: Mapping[str, int]) -> tuple[str, str]:
    lines = [f"{path} ({size:,} bytes)" for path, size in islice(sizes.items(), FILES)]
    if len(sizes) > FILES:
        lines.append(f"... and {len(sizes) - FILES:,} more files")
    return f"{len(sizes):,} files, {sum(sizes.values()):,} bytes; a mapping of path to text", "\n".join(lines)


def _brief(value: Any) -> Any:
    """The value itself if a glance takes it in, else what it is."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value if len(value) <= 80 else f"{value[:60]}... ({len(value):,} characters)"
    if isinstance(value, Mapping):
        return {str(key): _brief(value[key]) for key in islice(value, 8)}
    if isinstance(value, (list, tuple)):
        return [_brief(item) for item in islice(value, 5)]
    return reprlib.repr(value)


def _plain(value: Any, chars: int) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return json.dumps(value, ensure_ascii=False, default=repr, indent=1) if len(text) < chars else text
