"""Values on their way into a sandbox: which form they take, and that they are sent once.

Small values ride in the frame. From 1 MiB on they are written, piece by piece, into a memory file whose descriptor is
sent; the guest maps it. So the host holds at most one copy besides the user's own, and none after sending. Text keeps
lone surrogates and NULs. Arrow data goes as IPC; everything else as a pickle with its arrays beside it (pickles only
ever travel host to guest), which keeps dtypes, indexes, tuples, sets and dates exactly.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from fleet_rlm.sandbox.errors import ValueNotReadable, ValueNotSendable
from fleet_rlm.sandbox.files import GrantedDirectory, GrantedFile
from fleet_rlm.sandbox.guest import wire

MEMFD = 1 << 20  # bytes from which a descriptor is cheaper than a copy through the socket (measured)
PIECE = 1 << 22  # characters encoded at a time
SMALL = 1 << 12  # below this, sending again is cheaper than remembering
MANY = 1_000  # items of a list that is looked at for being nothing but texts
HEAVY = ("numpy", "pandas", "pyarrow")


@dataclass
class Parcel:
    """A value ready to send. `head` tells the guest how to read parts and descriptors."""

    head: dict[str, Any]
    parts: list[wire.Buffer] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    size: int = 0  # bytes, roughly

    def discard(self) -> None:
        """Close descriptors of a parcel that will not be sent."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


class _Blob(io.RawIOBase):
    """A byte sink that starts in memory and moves to a memory file when it grows large."""

    def __init__(self) -> None:
        self._memory: bytearray | None = bytearray()
        self._file: BinaryIO | None = None
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self._memory is not None and self.size + len(view) >= MEMFD:
            file = self._file = os.fdopen(os.memfd_create("value"), "wb", buffering=1 << 16)
            file.write(self._memory)
            self._memory = None
        if self._file is not None:
            self._file.write(view)
        elif self._memory is not None:
            self._memory += view
        self.size += len(view)
        return len(view)

    def align(self) -> int:
        """Pad to a cache line; returns the position."""
        self.write(bytes(-self.size % 64))
        return self.size

    def parcel(self, head: dict[str, Any]) -> Parcel:
        if self._file is None:
            return Parcel({**head, "part": 0}, [bytes(self._memory or b"")], size=self.size)
        self._file.flush()
        fd = os.dup(self._file.fileno())
        self._file.close()
        return Parcel({**head, "fd": 0, "size": self.size}, fds=[fd], size=self.size)

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()


def parcel(name: str, value: Any) -> Parcel:
    """The value as a parcel. May take as long as copying it: for large values call it off the loop.

    Raises:
        ValueNotSendable: naming the variable, its type and the way out.
        ContextError: from a granted file or directory that cannot be read.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float):
        return Parcel({"k": "json", "v": value})
    if kind is str:
        return _text(value)
    if kind in (bytes, bytearray, memoryview):
        return _raw(value)
    if isinstance(value, GrantedFile):
        head, fd, size = value.opened()
        return Parcel(head, fds=[fd], size=size)
    if isinstance(value, GrantedDirectory):
        head, fd, size = value.packed()
        return Parcel(head, fds=[fd], size=size)
    pa = sys.modules.get("pyarrow")
    if pa is not None and isinstance(value, (pa.Table, pa.RecordBatch)):
        return _arrow(value, batch=isinstance(value, pa.RecordBatch))
    return _pickled(name, value)


def _text(value: str) -> Parcel:
    if len(value) <= SMALL:
        return Parcel({"k": "json", "v": value}, size=len(value))
    blob = _Blob()
    for start in range(0, len(value), PIECE):
        blob.write(value[start : start + PIECE].encode("utf-8", "surrogatepass"))
    return blob.parcel({"k": "str"})


def _raw(value: bytes | bytearray | memoryview) -> Parcel:
    blob = _Blob()
    view = memoryview(value)
    blob.write(view if view.contiguous else view.tobytes())
    return blob.parcel({"k": "bytes"})


def _arrow(value: Any, *, batch: bool) -> Parcel:
    import pyarrow as pa

    blob = _Blob()
    with pa.ipc.new_stream(pa.PythonFile(blob, mode="w"), value.schema) as writer:
        writer.write(value)
    return blob.parcel({"k": "arrow", "batch": batch})


def _pickled(name: str, value: Any) -> Parcel:
    blob = _Blob()
    buffers: list[pickle.PickleBuffer] = []
    try:
        pickler = pickle.Pickler(blob, 5, buffer_callback=buffers.append)
        pickler.fast = _is_many_texts(value)
        pickler.dump(value)
        stream = blob.size
        where = []
        for buffer in buffers:
            raw = buffer.raw()
            start = blob.align()
            blob.write(raw)
            where.append((start, start + raw.nbytes))
    except Exception as error:  # pickling runs the value's own code, which may raise anything
        blob.abandon()
        raise ValueNotSendable(name, type_name(value), str(error).rstrip(".") or type(error).__name__) from error
    return blob.parcel({"k": "pickle", "stream": stream, "buffers": where})


def _is_many_texts(value: Any) -> bool:
    """A long list of mostly distinct texts. Pickle's memory of what it has written is of no use there, and dear: a
    million texts of 40 characters take 340 ms without it, 890 ms and 48 MiB more with it (a joined text with lengths:
    570 ms)."""
    if type(value) is not list or len(value) < MANY or len(set(map(id, value[:MANY]))) < 0.9 * MANY:
        return False
    return set(map(type, value)) == {str}


def result_parcel(value: Any) -> Parcel:
    """What a tool returned, as a parcel; exceptions in it (or one level inside a list) stay exceptions."""
    if isinstance(value, Exception):
        return Parcel({"k": "exception", **failure(value)})
    if type(value) in (list, tuple) and any(isinstance(item, Exception) for item in value):
        whole = Parcel({"k": "list", "items": []})
        for item in value:
            one = result_parcel(item)
            head = dict(one.head)
            if "part" in head:
                head["part"] += len(whole.parts)
            if "fd" in head:
                head["fd"] += len(whole.fds)
            whole.parts += one.parts
            whole.fds += one.fds
            whole.head["items"].append(head)
        return whole
    return parcel("the tool's result", value)


def failure(error: BaseException) -> dict[str, str]:
    """An exception as the guest will see it."""
    return {"type": type(error).__name__, "message": str(error) or type(error).__name__}


def type_name(value: object) -> str:
    """The type as a user would write it."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def modules_for(*values: Any) -> tuple[str, ...]:
    """The heavy modules the guest will need for these values: what to preload in its template."""
    seen = {type(value).__module__.partition(".")[0] for value in values}
    if seen & {"pandas", "pyarrow"}:
        return HEAVY
    return ("numpy",) if "numpy" in seen else ()


def may_change(value: Any) -> bool:
    """Whether the same object may be another value by now."""
    return not isinstance(value, str | bytes | GrantedFile | GrantedDirectory)


class Sent:
    """What one sandbox (and, from the fork on, each child) already holds, by identity.

    Immutable text and bytes are exact: the same object is the same value. A larger mutable value that a cell is given
    again is taken as it was when last put; small ones are simply sent again, so changes on either side do not linger.
    """

    def __init__(self, held: dict[int, tuple[Any, int]] | None = None) -> None:
        self._held = dict(held or {})  # id -> (the object, kept alive so that the id stays its own, slot)
        self._next = max((slot for _, slot in self._held.values()), default=0) + 1

    def slot(self, value: Any) -> int | None:
        """Where the guest keeps this object, if it has it."""
        found = self._held.get(id(value))
        return found[1] if found is not None and found[0] is value else None

    def value(self, slot: int) -> Any:
        """The object the guest keeps there. Raises KeyError."""
        return next(value for value, number in self._held.values() if number == slot)

    def assign(self) -> int:
        """A fresh slot number."""
        self._next += 1
        return self._next

    def remember(self, value: Any, slot: int) -> None:
        """The guest has stored this object."""
        self._held[id(value)] = (value, slot)

    def inherited(self) -> Sent:
        """What a fork of the guest holds."""
        child = Sent(self._held)
        child._next = self._next
        return child


def received(name: str, header: dict[str, Any], parts: list[bytes]) -> Any:
    """A value the guest sent on request. Nothing is unpickled; Arrow data is validated before use.

    Raises:
        ValueNotReadable: if the guest could not send it, or what it sent is not what it claims to be.
    """
    if error := header.get("error"):
        raise ValueNotReadable(f"{error['message']}")
    head: Any = header.get("head")
    try:
        if head["k"] == "plain":
            return head["v"]
        if head["k"] == "array":
            return _array(head, parts[0])
        if head["k"] == "arrow":
            return _table(head, parts[0])
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        raise ValueNotReadable(f"{name!r} arrived damaged from the sandbox: {problem}") from None
    raise ValueNotReadable(f"{name!r} arrived in an unknown form")


def _array(head: dict[str, Any], data: bytes) -> Any:
    import numpy as np

    dtype = np.dtype(head["dtype"])
    if dtype.kind not in "biufcMm":
        raise ValueError(f"arrays of {dtype} are not accepted")
    return np.frombuffer(bytearray(data), dtype).reshape(head["shape"])


def _table(head: dict[str, Any], data: bytes) -> Any:
    import pyarrow as pa

    table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    table.validate(full=True)
    if head["form"] == "DataFrame":
        return table.to_pandas()
    if head["form"] == "Series":
        series = table.to_pandas().iloc[:, 0]
        return series if head["named"] else series.rename(None)
    return table
