"""Frames between host and guest, over any stream socket.

A frame is `u32 part count | u64 length per part | parts`, little endian; part 0 is a JSON header, the others are raw
buffers. File descriptors travel beside the first byte; the header's "nfd" says how many belong to the frame. Inside a
header a `{MARK: index, "k": kind}` object stands for a buffer, so text and bytes of any size may sit anywhere in a
value without being escaped. Lone surrogates survive ("surrogatepass").

Both sides treat what arrives as untrusted: sizes are bounded, and nothing is ever unpickled here.
"""

from __future__ import annotations

import array
import datetime
import json
import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

MARK = "\0buffer"
MAX_PARTS = 65_536
MAX_FRAME = 4 << 30
GUEST_LIMIT = 256 << 20  # bytes a guest may send at once; the host would have to hold them
MAX_FDS = 64
INLINE_TEXT = 32_768  # longer text travels as a buffer: escaping it in JSON costs more than a part
Buffer = bytes | bytearray | memoryview


class ProtocolError(Exception):
    """The other side sent something that is not a frame."""


class Text:
    """A string that travels as a raw buffer."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def lifted(value: Any) -> Any:
    """The value with long strings, up to two levels deep, marked to travel as buffers."""
    if type(value) is str:
        return Text(value) if len(value) > INLINE_TEXT else value
    if type(value) is list or type(value) is tuple:
        return [Text(item) if type(item) is str and len(item) > INLINE_TEXT else item for item in value]
    if type(value) is dict:
        return {k: Text(v) if type(v) is str and len(v) > INLINE_TEXT else v for k, v in value.items()}
    return value


def pack(header: dict[str, Any], buffers: Iterable[Buffer] = ()) -> list[Buffer]:
    """The parts of a frame. Buffers found inside the header are appended after the given ones.

    Raises:
        TypeError: naming the type that cannot leave as JSON, text or bytes.
    """
    parts: list[Buffer] = [b"", *buffers]

    def plain(value: Any) -> Any:
        if isinstance(value, Text):
            parts.append(value.text.encode("utf-8", "surrogatepass"))
            return {MARK: len(parts) - 2, "k": "str"}
        if isinstance(value, (bytes, bytearray, memoryview)):
            parts.append(value)
            return {MARK: len(parts) - 2, "k": "bytes"}
        if isinstance(value, (set, frozenset)):
            return list(value)
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if hasattr(value, "dtype") and callable(getattr(value, "tolist", None)):  # numpy scalars and arrays, Series
            return value.tolist()
        raise TypeError(
            f"a {type(value).__name__} cannot leave the sandbox; pass text, bytes, numbers, lists or dicts instead"
        )

    parts[0] = json.dumps(header, separators=(",", ":"), default=plain).encode()
    return parts


def framed(parts: list[Buffer]) -> list[Buffer]:
    """The chunks to write, in order."""
    lengths = [len(part) if isinstance(part, (bytes, bytearray)) else part.nbytes for part in parts]
    prefix = struct.pack(f"<I{len(parts)}Q", len(parts), *lengths)
    if sum(lengths) < 65_536:
        return [b"".join((prefix, *parts))]
    return [prefix, *(memoryview(part).cast("B") for part in parts if len(part))]


def rights(fds: Iterable[int]) -> list[tuple[int, int, array.array[int]]]:
    """Ancillary data that carries descriptors."""
    numbers = array.array("i", fds)
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if numbers else []


def descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors found in received ancillary data."""
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
            found.extend(numbers)
    return found


Revive = Callable[[dict[str, Any], bytes], Any]


def revive_plain(mark: dict[str, Any], data: bytes) -> Any:
    """A text or bytes buffer as the value it stands for."""
    if mark.get("k") == "str":
        return data.decode("utf-8", "surrogatepass")
    if mark.get("k") == "bytes":
        return data
    raise ProtocolError(f"unknown kind of buffer: {mark.get('k')!r}")


class Parser:
    """Bytes in, frames out. `revive` turns a marked buffer into a value."""

    def __init__(self, limit: int = MAX_FRAME, revive: Revive = revive_plain) -> None:
        self._data = bytearray()
        self._need = 4
        self._limit = limit
        self._revive = revive

    def feed(self, data: bytes) -> None:
        self._data += data

    def pop(self) -> tuple[dict[str, Any], list[bytes]] | None:
        """The next whole frame, or None until more bytes come. Raises ProtocolError."""
        data = self._data
        if len(data) < self._need:
            return None
        (count,) = struct.unpack_from("<I", data)
        if not 1 <= count <= MAX_PARTS:
            raise ProtocolError(f"a frame of {count} parts")
        start = 4 + 8 * count
        if len(data) < start:
            self._need = start
            return None
        lengths = struct.unpack_from(f"<{count}Q", data, 4)
        end = start + sum(lengths)
        if end > self._limit:
            raise ProtocolError(f"a frame of {end:,} bytes, more than the {self._limit:,} allowed")
        if len(data) < end:
            self._need = end
            return None
        parts = []
        with memoryview(data) as view:
            for length in lengths:
                parts.append(bytes(view[start : start + length]))
                start += length
        del data[:end]
        self._need = 4
        return self._header(parts), parts[1:]

    def _header(self, parts: list[bytes]) -> dict[str, Any]:
        def hook(mapping: dict[str, Any]) -> Any:
            if MARK not in mapping:
                return mapping
            index = mapping[MARK]
            if type(index) is not int or not 0 <= index < len(parts) - 1:
                raise ProtocolError("a buffer that is not there")
            return self._revive(mapping, parts[index + 1])

        try:
            header = json.loads(parts[0], object_hook=hook if len(parts) > 1 else None)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"a header that is not JSON: {error}") from None
        if not isinstance(header, dict) or not isinstance(header.get("t"), str):
            raise ProtocolError("a header without a kind")
        return header
