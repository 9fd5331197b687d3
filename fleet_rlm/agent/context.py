"""The data a task is about: named values, described, and small ones as text.

A `pathlib.Path` stands for the file or directory it names; everything else stands for itself.
"""

from __future__ import annotations

import datetime
import itertools
import keyword
from collections.abc import Mapping
from decimal import Decimal
from itertools import islice
from pathlib import Path
from types import NoneType
from typing import Any

from fleet_rlm.core.errors import ContextError
from fleet_rlm.core.events import Variable
from fleet_rlm.rlm.describe import describe, type_name
from fleet_rlm.sandbox.files import GrantedDirectory, GrantedFile, granted

RESERVED = frozenset({"prompt", "llm_query", "llm_query_batched", "sub_rlm", "sub_rlm_batched", "SUBMIT", "print"})
"""Names the sandbox itself uses."""

PLAIN = (str, bytes, int, float, complex, datetime.date, datetime.time, datetime.timedelta, Decimal, NoneType)
"""Types whose repr says all they hold."""


def named(context: Any) -> dict[str, Any]:
    """The context as name to value: a dict is that already, anything else is called `context`; None is no data.

    Raises:
        ContextError: a name is not a Python name or is taken, or a path cannot be read.
    """
    if context is None:
        return {}
    values = dict(context) if isinstance(context, dict) else {"context": context}
    for name in values:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise ContextError(
                f"{name!r} is not a Python name; context is a value, or a dict of variable name to value "
                "(wrap a plain dict: context={'data': your_dict})"
            )
        if name in RESERVED or name.startswith("_"):
            raise ContextError(f"the name {name!r} is used by the sandbox; rename the variable")
    return {name: granted(value) if isinstance(value, Path) else value for name, value in values.items()}


def described(values: Mapping[str, Any]) -> list[Variable]:
    """What is told of the values, and all that is told."""
    return [Variable(**describe(name, value)) for name, value in values.items()]


def small_text(values: Mapping[str, Any], limit: int) -> str | None:
    """All values as text if that is at most `limit` characters, else None. Costs no more than that for large ones."""
    parts: list[str] = []
    for name, value in values.items():
        left = limit - sum(map(len, parts))
        text = _text(value, left)
        if text is None or len(text) + len(name) + 8 > left:
            return None
        parts.append(f"`{name}`:\n{text}\n\n")
    return "".join(parts)


def _text(value: Any, limit: int) -> str | None:
    kind = type_name(value)
    if isinstance(value, str):
        return value if len(value) <= limit else None
    if isinstance(value, (bytes, bytearray)):
        return repr(bytes(value)) if len(value) <= limit else None
    if kind in ("pandas.DataFrame", "pandas.Series"):
        return _csv(value) if value.size <= limit else None
    if kind in ("pyarrow.Table", "pyarrow.RecordBatch"):
        return _csv(value.to_pandas()) if value.num_rows * max(value.num_columns, 1) <= limit else None
    if kind == "numpy.ndarray":
        return repr(value.tolist()) if value.size <= limit else None
    if isinstance(value, GrantedFile):
        return value.text() if value.path.stat().st_size <= limit else None
    if isinstance(value, GrantedDirectory):
        sizes = value.file_sizes()
        if sum(sizes.values()) + 40 * len(sizes) > limit:
            return None
        return "\n\n".join(f"--- {path}\n{text}" for path, text in value.texts().items())
    try:
        return repr(value) if _is_small_and_plain(value, limit) else None
    except (RecursionError, ValueError):  # nested too deep, or an integer longer than Python writes out
        return None


def _csv(table: Any) -> str:
    """One header line, whatever the columns are, so that the lines below it are the rows."""
    if getattr(table, "ndim", 1) == 2 and table.columns.nlevels > 1:
        table = table.set_axis([" / ".join(map(str, name)) for name in table.columns], axis=1)
    return str(table.to_csv())


def _is_small_and_plain(value: Any, limit: int) -> bool:
    """Whether a nested value's repr says all it holds, in at most some `limit` characters and items."""
    left, stack = limit, [value]
    while stack and left >= 0:
        item = stack.pop()
        left -= len(item) if isinstance(item, (str, bytes)) else 1
        if isinstance(item, dict):
            stack.extend(islice(itertools.chain(item, item.values()), left + 1))
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(islice(item, left + 1))
        elif not isinstance(
            item, (str, bytes, int, float, complex, bool, datetime.date, datetime.time, Decimal, NoneType)
        ):
            return False  # a generator, a function, an object: its repr is not its content
    return left >= 0
