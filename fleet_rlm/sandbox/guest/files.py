"""Files and folders the user granted, read without any access to where they lie.

A text file is a `str` when it is of ordinary size, and a `LazyText` over the mapped file beyond that. A `Folder` is a
read-only mapping from relative path to text, decoded when read. What cannot be read says why.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

WHOLE_TEXT = 256 << 20  # bytes; a larger file is not decoded at once
BINARY_PROBE = 8_192


class NotText(ValueError):
    """A file is not text; `.bytes(path)` of a Folder, or open data, gives it raw."""


def is_binary(data: memoryview) -> bool:
    """Whether a file of this content, or beginning, is no text."""
    return b"\0" in bytes(data[:BINARY_PROBE])


def decoded(data: memoryview, name: str) -> str:
    """The text of a file called `name`; the host decodes by it too. Raises NotText."""
    if is_binary(data):
        raise NotText(f"{name} is a binary file ({len(data):,} bytes), not text")
    try:
        return str(data, "utf-8-sig")
    except UnicodeDecodeError:
        return str(data, "latin-1")  # every byte has a meaning, nothing is dropped


class LazyText:
    """A very large UTF-8 file, mapped: slices, lines and searches without reading all of it.

    Offsets are in bytes, not characters; a slice that cuts a character shows U+FFFD at that edge.
    """

    def __init__(self, data: mmap.mmap, name: str) -> None:
        self._data = data
        self.name = name

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, key: int | slice) -> str:
        part = self._data[key] if isinstance(key, slice) else self._data[key : key + 1 or None]
        return part.decode("utf-8", "replace")

    def __contains__(self, text: str) -> bool:
        return self.find(text) >= 0

    def __iter__(self) -> Iterator[str]:
        """Lines, with their line ends."""
        start = 0
        while start < len(self._data):
            end = self._data.find(b"\n", start)
            end = len(self._data) if end < 0 else end + 1
            yield self._data[start:end].decode("utf-8", "replace")
            start = end

    def find(self, text: str, start: int = 0, end: int | None = None) -> int:
        """Byte offset of the first occurrence, or -1."""
        return self._data.find(text.encode(), start, len(self._data) if end is None else end)

    def ends(self, chars: int) -> tuple[int, str, str]:
        """Size in bytes, and about `chars` characters in all of the beginning and the end."""
        return len(self), self[: chars // 2], self[max(len(self) - chars // 2, chars // 2) :]

    def finditer(self, pattern: str, flags: int = 0) -> Iterator[re.Match[bytes]]:
        """Matches of a regular expression over the bytes (give `pattern` as text)."""
        return re.finditer(pattern.encode(), self._data, flags)

    def count(self, text: str) -> int:
        """How often `text` occurs, not overlapping."""
        return sum(1 for _ in re.finditer(re.escape(text.encode()), self._data))

    def lines(self) -> Iterator[str]:
        """Lines without their line ends."""
        return (line.rstrip("\r\n") for line in self)

    def __repr__(self) -> str:
        return f"LazyText({self.name!r}, {len(self):,} bytes; slice it, iterate over lines, .find(), .finditer())"


def text_file(fd: int, name: str) -> str | LazyText:
    """The text of an opened file."""
    try:
        size = os.fstat(fd).st_size
        if size == 0:
            return ""
        data = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
    if size > WHOLE_TEXT:
        return LazyText(data, name)
    view = memoryview(data)
    try:
        return decoded(view, name)
    finally:
        view.release()
        data.close()


class Folder(Mapping[str, str]):
    """The text files of a directory: `folder["a/b.txt"]`, `len`, `in`, `items()`, iteration in path order.

    `.root` is the directory's name for display, `.skipped` says which files were left out and why, `.binary` lists the
    files that are no text, and `.bytes(path)` gives the content of any file.
    """

    def __init__(self, data: memoryview, head: dict[str, Any]) -> None:
        self._data = data
        self._where: dict[str, tuple[int, int]] = {path: (start, size) for path, start, size in head["index"]}
        self.binary = tuple(
            path for path, (start, size) in self._where.items() if is_binary(data[start : start + size])
        )
        self._texts = dict.fromkeys(self._where)
        for path in self.binary:
            del self._texts[path]
        self.root: str = head["root"]
        self.skipped: dict[str, str] = head["skipped"]

    def bytes(self, path: str) -> bytes:
        """The raw content of one file."""
        start, size = self._find(path)
        return bytes(self._data[start : start + size])

    def size(self, path: str) -> int:
        """The length of one file in bytes, without reading it."""
        return self._find(path)[1]

    def file_sizes(self) -> dict[str, int]:
        """The length of every text file in bytes."""
        return {path: self._where[path][1] for path in self._texts}

    def _find(self, path: str) -> tuple[int, int]:
        try:
            return self._where[path]
        except KeyError:
            if path in self.skipped:
                raise KeyError(f"{path}: {self.skipped[path]}") from None
            raise KeyError(f"no file {path!r} in {self.root} ({len(self)} files; iterate to see them)") from None

    def __getitem__(self, path: str) -> str:
        start, size = self._find(path)
        return decoded(self._data[start : start + size], path)

    def __contains__(self, path: object) -> bool:
        return path in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __repr__(self) -> str:
        binary = f", {len(self.binary)} binary files" if self.binary else ""
        return f"Folder({self.root!r}, {len(self)} text files, {sum(self.file_sizes().values()):,} bytes{binary})"
