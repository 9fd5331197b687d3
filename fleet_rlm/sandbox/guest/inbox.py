"""Values that arrive from the host, and the few that leave by name.

The host is trusted here and may send pickles; nothing is ever pickled in the other direction. Large values come as a
memory file: text is decoded once, arrays and frames are views of a private, writable mapping (copied page by page
only when written), so a 100 MB frame costs no copy.
"""

from __future__ import annotations

import builtins
import mmap
import os
import pickle
from typing import Any

from . import files, wire


class ToolError(RuntimeError):
    """A host tool failed with an exception type that does not exist here; its own name is the subclass's name."""


_kinds: dict[str, type[Exception]] = {}


def exception(type_name: str, message: str) -> Exception:
    """An exception object with that type name: the builtin one, or a subclass of ToolError."""
    kind = getattr(builtins, type_name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = _kinds.get(type_name) or _kinds.setdefault(type_name, type(type_name, (ToolError,), {}))
    try:
        return kind(message)
    except TypeError:  # UnicodeDecodeError and friends want more arguments
        return ToolError(f"{type_name}: {message}")


def value(head: dict[str, Any], parts: list[bytes], fds: list[int]) -> Any:
    """The value a head describes; takes ownership of its descriptors."""
    kind = head["k"]
    if kind == "json":
        return head["v"]
    if kind == "exception":
        return exception(head["type"], head["message"])
    if kind == "list":
        return [value(item, parts, fds) for item in head["items"]]
    if kind == "file":
        return files.text_file(fds[head["fd"]], head["name"])
    data = _mapped(fds[head["fd"]], head["size"]) if "fd" in head else parts[head["part"]]
    if kind == "str":
        return str(data, "utf-8", "surrogatepass")
    if kind == "bytes":
        return bytes(data)
    if kind == "folder":
        return files.Folder(memoryview(data), head)
    if kind == "arrow":
        import pyarrow as pa  # only who is sent a table pays for it

        table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
        return table.combine_chunks().to_batches()[0] if head["batch"] and table.num_rows else table
    if kind == "pickle":
        view = memoryview(data)
        buffers = [view[start:end] if "fd" in head else bytearray(view[start:end]) for start, end in head["buffers"]]
        return pickle.loads(view[: head["stream"]], buffers=buffers)
    raise wire.ProtocolError(f"unknown kind of value: {kind!r}")


def _mapped(fd: int, size: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, size, access=mmap.ACCESS_COPY)
    finally:
        os.close(fd)


def outgoing(obj: Any) -> tuple[dict[str, Any], list[wire.Buffer]]:
    """What `get` sends for an object.

    Raises:
        TypeError: for anything but JSON values, text, bytes, frames, tables and numeric arrays.
    """
    module = type(obj).__module__.partition(".")[0]
    if module in ("pandas", "pyarrow"):
        return _arrow(obj)
    if module == "numpy" and hasattr(obj, "shape") and obj.shape and obj.dtype.kind in "biufcMm":
        import numpy as np

        array = np.ascontiguousarray(obj)
        return {"k": "array", "dtype": array.dtype.str, "shape": array.shape}, [array.tobytes()]
    return {"k": "plain", "v": wire.lifted(obj)}, []


def _arrow(obj: Any) -> tuple[dict[str, Any], list[wire.Buffer]]:
    import pyarrow as pa

    form = type(obj).__name__
    if form == "DataFrame":
        table = pa.Table.from_pandas(obj)
    elif form == "Series":
        table = pa.Table.from_pandas(obj.to_frame(name=obj.name if obj.name is not None else "values"))
    elif form == "RecordBatch":
        table = pa.Table.from_batches([obj])
    elif form == "Table":
        table = obj
    else:
        raise TypeError(f"a {form} cannot leave the sandbox; turn it into a DataFrame, a table or a list first")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    named = form != "Series" or obj.name is not None
    return {"k": "arrow", "form": form, "named": named}, [memoryview(sink.getvalue())]
