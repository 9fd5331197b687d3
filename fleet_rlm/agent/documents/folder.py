"""A directory as one document: a text of all its files under headings, and where each file lies in that text.

So a directory is kept, hashed, cut into chunks and restored like any other document, while a sandbox gets it as a
mapping from path to text, exactly as it gets a directory the user granted.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import IO, Any

from fleet_rlm.sandbox.files import SKIPPED_LISTED, GrantedDirectory


class KeptFolder(GrantedDirectory):
    """A directory that was loaded: one file with the texts, one with the index.

    The index is JSON: `{"files": [[path, first byte, bytes], ...], "skipped": {path: reason}}`.
    """

    def __init__(self, path: Path, index: Path, name: str) -> None:
        super().__init__(path)
        self.name = name
        self._index_path = index

    def packed(self) -> tuple[dict[str, Any], int, int]:
        """Head, descriptor and size, for a sandbox."""
        index = self._index()
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        size = os.fstat(fd).st_size
        what = {"root": self.name, "index": index["files"], "skipped": index["skipped"]}
        return {"k": "folder", "fd": 0, "size": size, **what}, fd, size

    def file_sizes(self) -> dict[str, int]:
        """Relative path to size in bytes."""
        return {path: size for path, _, size in self._index()["files"]}

    def texts(self) -> dict[str, str]:
        """Relative path to text."""
        data = self.path.read_bytes()
        return {path: str(data[start : start + size], "utf-8") for path, start, size in self._index()["files"]}

    def _index(self) -> dict[str, Any]:
        index: dict[str, Any] = json.loads(self._index_path.read_bytes())
        return index


class FolderText:
    """The text of a folder while it is written: `add` each file, then keep `text` and `index`."""

    def __init__(self) -> None:
        self.text: IO[bytes] = tempfile.TemporaryFile()
        self.files: list[tuple[str, int, int]] = []
        self.skipped: dict[str, str] = {}
        self.size = 0

    def add(self, path: str, text: str) -> None:
        """Append one file."""
        path = path.encode("utf-8", "replace").decode()
        heading, body = f"=== {path} ===\n".encode(), text.encode("utf-8", "replace")
        self.files.append((path, self.size + len(heading), len(body)))
        self.size += self.text.write(heading + body + b"\n\n")

    def skip(self, path: str, reason: str) -> None:
        """Say that a file is left out."""
        if len(self.skipped) < SKIPPED_LISTED:
            self.skipped[path] = reason

    def index(self) -> str:
        """The index as JSON."""
        return json.dumps({"files": sorted(self.files), "skipped": self.skipped})

    def metadata(self) -> dict[str, Any]:
        """What is told of the folder."""
        told: dict[str, Any] = {"files": len(self.files)}
        if self.skipped:
            told["left_out"] = len(self.skipped)
        return told
