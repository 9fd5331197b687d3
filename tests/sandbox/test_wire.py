"""Frames survive any split of the stream, and nonsense is refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from fleet_rlm.sandbox.guest import wire


def stream(header: dict[str, Any], *buffers: bytes) -> bytes:
    return b"".join(bytes(chunk) for chunk in wire.framed(wire.pack(header, buffers)))


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_frames_come_out_as_they_went_in(step: int) -> None:
    header = {"t": "x", "text": wire.lifted("long \ud800" * 10_000), "n": [1, None, "\0"], "b": b"raw", "e": b""}
    data = stream(header, b"part") * 2
    parser, found = wire.Parser(), []
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
        while (frame := parser.pop()) is not None:
            found.append(frame)
    for got, parts in found:
        assert got == {"t": "x", "text": "long \ud800" * 10_000, "n": [1, None, "\0"], "b": b"raw", "e": b""}
        assert parts[0] == b"part"
    assert len(found) == 2


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<I", 0),
        struct.pack("<I", 1 << 31),
        struct.pack("<IQ", 1, 1 << 50),
        struct.pack("<IQ", 1, 3) + b"{x}",
        struct.pack("<IQ", 1, 2) + b"[]",
        struct.pack("<IQ", 1, 2) + b"{}",
        struct.pack("<IQ", 1, 100_000) + b"[" * 100_000,
        struct.pack("<IQQ", 2, 27, 0) + b'{"t":"x","v":{"\\u0000buffer":7}}'[:27],
    ],
)
def test_nonsense_is_refused(data: bytes) -> None:
    parser = wire.Parser()
    parser.feed(data)
    with pytest.raises(wire.ProtocolError):
        parser.pop()


def test_a_buffer_that_is_not_there_is_refused() -> None:
    parser = wire.Parser()
    parser.feed(stream({"t": "x", "v": {wire.MARK: 7, "k": "bytes"}}, b"only one"))
    with pytest.raises(wire.ProtocolError, match="not there"):
        parser.pop()


def test_what_cannot_travel_is_named() -> None:
    with pytest.raises(TypeError, match="a object cannot leave the sandbox"):
        wire.pack({"t": "x", "v": object()})
