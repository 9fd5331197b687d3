"""Cutting a text into chunks: by size, at headings, at time stamps, or at the keys of JSON.

The first three lose nothing: the chunks joined are the text (by size, where they do not overlap). JSON is cut as a
value, and each chunk is JSON again. Patterns are linear-time (RE2): no pattern of a model can hang.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.agent.patterns import compiled

Strategy = Literal["size", "headers", "timestamps", "json_keys"]

SIZE = 20_000
HEADERS = r"^(?:#{1,6} |=== .+ ===$|\[page \d+\]$|## cell \d+)"
"""Headings of Markdown, files of a directory, pages of a PDF, cells of a notebook."""
TIMESTAMPS = r"^\[?\d{4}[-/]\d\d[-/]\d\d(?:[T ]|$)|^\[?\d\d:\d\d:\d\d\b|^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
"""Dates in ISO form, times of day, and syslog's."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a text.

    Attributes:
        text: the piece.
        start: where it begins, in characters; the number of the item for JSON.
        title: its heading, first line, or key.
    """

    text: str
    start: int
    title: str


def chunks(
    text: str, strategy: Strategy = "size", *, size: int = SIZE, overlap: int = 0, pattern: str = ""
) -> list[Chunk]:
    """The chunks of a text, in order.

    Args:
        strategy: "size" cuts every `size` characters; "headers" gives a chunk per section; "timestamps" fills chunks
            with whole entries, each from its time stamp to the next; "json_keys" gives a chunk per key or item.
        size: the largest chunk in characters; with "json_keys" the items of a list are gathered up to it.
        overlap: characters a chunk repeats of the one before; only for "size".
        pattern: what begins a section or entry, in the place of the usual headings or time stamps.

    Raises:
        DocumentError: the arguments do not fit, or the text is not JSON.
    """
    if strategy not in get_args(Strategy):
        raise DocumentError(f"the strategy is one of {', '.join(get_args(Strategy))}, not {strategy!r}")
    if size < 1 or not 0 <= overlap < size:
        raise DocumentError("size is at least 1, and overlap at least 0 and smaller than size")
    if strategy == "json_keys":
        return list(_json(text, size))
    if strategy == "size":
        return [_chunk(text, start, start + size) for start in _starts(len(text), size, overlap)]
    cuts = _cuts(text, pattern or (HEADERS if strategy == "headers" else TIMESTAMPS))
    parts = list(zip(cuts, [*cuts[1:], len(text)], strict=True)) if text else []
    if strategy == "timestamps":
        parts = _gathered(parts, size)
    return [
        _chunk(text, start + offset, min(start + offset + size, end))
        for start, end in parts
        for offset in _starts(end - start, size, 0)
    ]


def _starts(length: int, size: int, overlap: int) -> range:
    """Where chunks of a text of this length begin; none begins inside the last one's repetition."""
    return range(0, max(length - overlap, min(length, 1)), size - overlap)


def _chunk(text: str, start: int, end: int) -> Chunk:
    piece = text[start:end]
    return Chunk(piece, start, piece.lstrip()[:200].partition("\n")[0].strip()[:80])


def _cuts(text: str, pattern: str) -> list[int]:
    return sorted({0, *(match.start() for match in compiled(f"(?m){pattern}").finditer(text))})


def _gathered(parts: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Neighbours together, as long as they fit into one chunk."""
    gathered: list[tuple[int, int]] = []
    for start, end in parts:
        if gathered and end - gathered[-1][0] <= size:
            gathered[-1] = (gathered[-1][0], end)
        else:
            gathered.append((start, end))
    return gathered


def _json(text: str, size: int) -> Iterator[Chunk]:
    value = _value(text)
    if isinstance(value, dict):
        for number, (key, item) in enumerate(value.items()):
            yield Chunk(_dumped({key: item}), number, key[:80])
        return
    if not isinstance(value, list):
        raise DocumentError("json_keys cuts an object, a list or lines of JSON, and this is one plain value")
    held: list[Any] = []
    chars = first = 0
    for number, item in enumerate(value):
        length = len(_dumped(item))
        if held and chars + length > size:
            yield Chunk(_dumped(held), first, f"items {first} to {number - 1}")
            held, chars, first = [], 0, number
        held.append(item)
        chars += length
    if held:
        yield Chunk(_dumped(held), first, f"items {first} to {len(value) - 1}")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as whole:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise DocumentError(f"the text is neither JSON nor lines of JSON ({whole})") from None


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
