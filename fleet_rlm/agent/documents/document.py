"""Document: one text that was loaded, with where it came from and the form in which a sandbox gets it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.agent.documents.folder import KeptFolder
from fleet_rlm.agent.documents.reading import lines
from fleet_rlm.sandbox.files import GrantedFile

WHOLE_CHARS = 64_000_000
"""Characters of a text that is taken into memory as a whole; code in the sandbox reads larger ones."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A loaded document.

    Attributes:
        alias: its name, also the name of its variable in a sandbox.
        source: path, URL or repository it came from.
        kind: "text", "markdown", "html", "csv", "json", "parquet", "notebook", "pdf", "docx", "pptx", "xlsx",
            "directory" or "repository".
        chars: length of the text.
        sha256: hash of the text in UTF-8.
        metadata: what else is known: pages, sheets, rows, files, what was left out.
        path: the file that holds the text.
    """

    alias: str
    source: str
    kind: str
    chars: int
    sha256: str
    metadata: dict[str, Any] = field(default_factory=dict)
    path: Path

    @property
    def is_kept(self) -> bool:
        """Whether the text is where it was put."""
        return all(self.path.with_name(name).is_file() for name in self.hashes())

    @property
    def text(self) -> str:
        """All of the text. Raises DocumentError if it is gone, changed, or too large to hold in memory."""
        if self.chars > WHOLE_CHARS:
            raise DocumentError(
                f"{self.alias!r} has {self.chars:,} characters, more than can be read at once; search it with "
                f"execute_code or delegate_to_rlm, where it is the variable `{self.alias}`"
            )
        data = self._data()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise DocumentError(f"the text of {self.alias!r} was changed on disk; load {self.source} again")
        return data.decode("utf-8")

    def lines(self) -> Iterator[str]:
        """The lines of the text, one after the other, however large it is."""
        self._check()
        with open(self.path, "rb") as file:
            yield from lines(file, "utf-8")

    def value(self) -> GrantedFile | KeptFolder:
        """What a sandbox is given: its text, or for a directory its files by path."""
        self._check()
        if "index" in self.metadata:
            return KeptFolder(self.path, self.path.with_name(self.metadata["index"]), Path(self.source).name)
        return GrantedFile(self.path)

    def told(self) -> dict[str, Any]:
        """What is told of it: everything but its place on disk."""
        kept = {key: value for key, value in self.metadata.items() if key != "index"}
        return {"alias": self.alias, "kind": self.kind, "chars": self.chars, "source": self.source, **kept}

    def state(self) -> dict[str, Any]:
        """What a session keeps of it besides the text, as plain JSON."""
        names = ("alias", "source", "kind", "chars", "sha256", "metadata")
        state: dict[str, Any] = json.loads(json.dumps({name: getattr(self, name) for name in names}))
        return state

    def hashes(self) -> list[str]:
        """The names of the files a session must keep for it."""
        return [self.sha256, *([self.metadata["index"]] if "index" in self.metadata else [])]

    def _data(self) -> bytes:
        self._check()
        return self.path.read_bytes()

    def _check(self) -> None:
        if not self.is_kept:
            raise DocumentError(f"the text of {self.alias!r} is gone from {self.path.parent}; load {self.source} again")
