"""What `--with` names: files, directories and standard input, as the values a run is asked over."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fleet_rlm.core.errors import ContextError

TABLES = {".csv": ",", ".tsv": "\t", ".parquet": ""}
"""Endings of files that are read as a DataFrame, with the separator of their columns."""


def read_inputs(written: Iterable[str]) -> dict[str, Any]:
    """Name -> value for each `[NAME=]PATH`; without NAME the file's own name, made a Python name.

    Raises:
        ContextError: a path does not exist or cannot be read, or two values would share a name.
    """
    values: dict[str, Any] = {}
    for item in written:
        name, path = _split(item)
        if name in values:
            raise ContextError(f"two inputs would be called {name!r}; name one of them: --with other={path}")
        values[name] = sys.stdin.read() if path == "-" else _read(Path(path).expanduser())
    return values


def _split(item: str) -> tuple[str, str]:
    name, sign, path = item.partition("=")
    if sign and name.isidentifier() and not Path(item).exists():
        return name, path
    return ("stdin" if item == "-" else _name(Path(item))), item


def _name(path: Path) -> str:
    name = re.sub(r"\W+", "_", path.expanduser().resolve().stem).strip("_") or "files"
    return f"v_{name}" if name[0].isdigit() else f"{name}_" if keyword.iskeyword(name) else name


def _read(path: Path) -> Any:
    if not path.exists():
        raise ContextError(f"there is no file or directory {str(path)!r}")
    if path.suffix.lower() not in TABLES or path.is_dir():
        return path
    import pandas as pd  # 0.4 s: only for tables

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep=TABLES[path.suffix.lower()])
    except (OSError, ValueError) as error:
        raise ContextError(
            f"{path} cannot be read as a table: {error}; rename it to .txt to pass it as text"
        ) from error
