"""The data of a run, kept beside its log so that the run can go on in another process.

Values lie under their hash in FLEET_HOME/values, once for all runs that use them, in formats that hold data and no code
(text, bytes, JSON, Arrow, npy); `context.json` in the run's directory says which is which. Files and directories are
not copied: their place is kept, with what they looked like. What cannot be kept this way is asked for when the run is
resumed. The oldest values leave when there are more than FLEET_KEEP_MB megabytes of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from fleet_rlm.core.errors import UserError
from fleet_rlm.rlm.describe import type_name
from fleet_rlm.sandbox.files import GrantedDirectory, GrantedFile, granted

NAME = "context.json"

SLICE = 1 << 20
"""Characters of a text that are encoded at once: a copy of all of it would double its memory."""

INLINE = 1 << 20
"""Bytes up to which values are kept before the run goes on; larger ones while it does."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one value is kept.

    Attributes:
        type: what it was, for people.
        format: the name of its format; "path" for a file or directory; None where it is not kept.
        sha256: of the bytes under which it lies, or of what the files at `path` looked like.
        path: where the file or directory is.
        why: the reason it is not kept.
    """

    type: str
    format: str | None = None
    sha256: str | None = None
    path: str | None = None
    why: str | None = None


@dataclass(frozen=True)
class Format:
    """How a kind of value is written and read; `write` is False where it would not come back equal."""

    write: Callable[[Any, IO[bytes]], bool]
    read: Callable[[Path], Any]


def is_small(values: Mapping[str, Any]) -> bool:
    """Whether keeping the values takes no time worth mentioning."""
    return sum(map(_size, values.values())) <= INLINE


def keep(values: Mapping[str, Any], directory: Path, home: Path, room_mb: int) -> None:
    """Keep the values of the run whose log is in `directory`.

    Raises:
        OSError: they cannot be written; the run goes on, and can be resumed with its data given again.
    """
    store = home / "values"
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    entries = {name: _kept(value, store, room_mb << 20) for name, value in values.items()}
    path = directory / NAME
    half = path.with_suffix(".new")
    half.write_bytes(msgspec.json.encode(entries))
    half.chmod(0o600)
    os.replace(half, path)
    _make_room(store, room_mb << 20)


def restore(directory: Path, home: Path, names: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values `names` of a run; `given` ones are taken as they are.

    Raises:
        UserError: some are not kept, or files have changed; the message names them and says how to give them.
    """
    kept = _entries(directory / NAME)
    entries = {**{name: kept.get(name, Entry("value", why="was not kept")) for name in names}, **kept}
    unknown = sorted(set(given) - set(entries))
    if unknown:
        raise UserError(f"the run has no variable {unknown[0]!r}; it has {', '.join(entries) or 'none'}")
    values, faults = recovered({name: entry for name, entry in entries.items() if name not in given}, home)
    if faults:
        told = "; ".join(f"{name} {fault}" for name, fault in faults.items())
        example = ", ".join(f"{name!r}: ..." for name in faults)
        raise UserError(f"the run's data is not all here: {told}. Give it again: context={{{example}}}")
    return {name: given[name] if name in given else values[name] for name in entries}


def _entries(path: Path) -> dict[str, Entry]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Entry])
    except (OSError, msgspec.DecodeError):  # the run was killed or the disk was full before it was there
        return {}


def recovered(entries: Mapping[str, Entry], home: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that can be had again, and for each of the others why not."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, entry in entries.items():
        try:
            values[name] = _restored(entry, home / "values")
        except _Gone as gone:
            faults[name] = str(gone)
    return values, faults


class _Gone(Exception):
    """Why a value cannot be had."""


def _kept(value: Any, store: Path, room: int) -> Entry:
    kind = type_name(value)
    if isinstance(value, (GrantedFile, GrantedDirectory)):
        return Entry(kind, "path", _looks(value), str(value.path.absolute()))
    if not room:
        return Entry(kind, why="is not kept (FLEET_KEEP_MB is 0)")
    if _size(value) > room:
        return Entry(kind, why=f"is larger than FLEET_KEEP_MB ({room >> 20:,} MB)")
    name = next((name for name, types in _TYPES.items() if kind in types), "json")
    temporary = store / f".{secrets.token_hex(8)}"
    try:
        with open(temporary, "xb") as file:
            whole = FORMATS[name].write(value, file)
        if not whole:
            return Entry(kind, why=f"({kind}) is of a kind that is not kept")
        sha256 = _sha256(temporary)
        os.replace(temporary, store / sha256)
        return Entry(kind, name, sha256)
    finally:
        temporary.unlink(missing_ok=True)


def _restored(entry: Entry, store: Path) -> Any:
    if entry.format == "path" and entry.path is not None:
        path = Path(entry.path)
        if not path.exists():
            raise _Gone(f"({path}) is gone")
        value = granted(path)
        if _looks(value) != entry.sha256:
            raise _Gone(f"({path}) has changed since the run began")
        return value
    if entry.format is None or entry.format not in FORMATS:
        raise _Gone(entry.why or "is kept in a format this fleet-rlm does not know")
    try:
        file = store / str(entry.sha256)
        with contextlib.suppress(OSError):  # in a home that cannot be written it is as old as it is
            os.utime(file)
        if _sha256(file) != entry.sha256:
            raise _Gone(f"({entry.type}) is no longer what was kept")
        return FORMATS[entry.format].read(file)
    except OSError:
        raise _Gone(f"({entry.type}) is no longer kept") from None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _looks(value: GrantedFile | GrantedDirectory) -> str:
    """A hash of sizes and times: reading gigabytes to see that nothing changed would take longer than asking anew."""
    root = value.path
    paths = [root] if isinstance(value, GrantedFile) else [root / path for path in value.file_sizes()]
    seen = [(str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(msgspec.json.encode(seen)).hexdigest()


def _make_room(store: Path, room: int) -> None:
    with contextlib.suppress(OSError):  # another process makes room, too
        files = sorted(store.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > room:
                file.unlink(missing_ok=True)


def _size(value: Any) -> int:
    """About the bytes a value takes, without walking it."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    size = getattr(value, "nbytes", None)  # ndarray, Arrow, Series
    if isinstance(size, int):
        return size
    if type_name(value) == "pandas.DataFrame":
        return int(value.memory_usage().sum())
    return 64 * len(value) if hasattr(value, "__len__") else 0


def _write_text(value: str, file: IO[bytes]) -> bool:
    for start in range(0, len(value), SLICE):
        file.write(value[start : start + SLICE].encode("utf-8", "surrogatepass"))
    return True


def _write_bytes(value: bytes, file: IO[bytes]) -> bool:
    file.write(value)
    return True


def _write_json(value: Any, file: IO[bytes]) -> bool:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
        same = _same(json.loads(text), value)
    except (TypeError, ValueError, RecursionError):
        return False
    file.write(text)
    return same


def _same(read: Any, value: Any) -> bool:
    """Equal, and of the same types throughout: JSON makes lists of tuples and texts of keys."""
    if type(read) is not type(value):
        return False
    if isinstance(read, dict):
        return read.keys() == value.keys() and all(_same(read[key], value[key]) for key in read)
    if isinstance(read, list):
        return len(read) == len(value) and all(map(_same, read, value))
    return bool(read == value)


def _write_table(value: Any, file: IO[bytes]) -> bool:
    import pyarrow as pa

    frame = value.to_frame(name=_UNNAMED if value.name is None else value.name) if _is_series(value) else value
    try:
        table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame)
    except (pa.ArrowException, TypeError, ValueError):
        return False
    if not table.num_rows and any(map(pa.types.is_dictionary, table.schema.types)):
        return False  # the categories of no rows are not written
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    if frame is table:
        return True
    first = table.slice(0, 1_000).to_pandas()  # a look at the types; all of it again would double its memory
    return bool((first.dtypes == frame.dtypes).all()) and first.equals(frame.iloc[:1_000])


def _is_series(value: Any) -> bool:
    return type_name(value) == "pandas.Series"


def _read_series(path: Path) -> Any:
    series = _read_table(path).to_pandas().iloc[:, 0]
    return series.rename(None) if series.name == _UNNAMED else series


def _read_table(path: Path) -> Any:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _write_array(value: Any, file: IO[bytes]) -> bool:
    import numpy as np

    if value.dtype.hasobject:
        return False
    np.save(file, value, allow_pickle=False)
    return True


def _read_array(path: Path) -> Any:
    import numpy as np

    return np.load(path, allow_pickle=False)


_UNNAMED = "series"

_TYPES: dict[str, tuple[str, ...]] = {
    "text": ("str",),
    "bytes": ("bytes",),
    "table": ("pyarrow.Table",),
    "frame": ("pandas.DataFrame",),
    "series": ("pandas.Series",),
    "array": ("numpy.ndarray",),
}

FORMATS: dict[str, Format] = {
    "text": Format(_write_text, lambda path: path.read_bytes().decode("utf-8", "surrogatepass")),
    "bytes": Format(_write_bytes, Path.read_bytes),
    "json": Format(_write_json, lambda path: json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))),
    "table": Format(_write_table, _read_table),
    "frame": Format(_write_table, lambda path: _read_table(path).to_pandas()),
    "series": Format(_write_table, _read_series),
    "array": Format(_write_array, _read_array),
}
