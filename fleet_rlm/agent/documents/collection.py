"""Documents: the documents of one session by alias, one of them active.

Their texts lie in one directory, each in a file named by the hash of its content. A session that owns the directory
keeps `state()` beside it and restores by `from_state`; a collection without one has a temporary directory.
"""

from __future__ import annotations

import hashlib
import keyword
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_rlm.agent.context import RESERVED
from fleet_rlm.agent.documents.document import Document
from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.core.disk import settle, settle_names
from fleet_rlm.core.redaction import Redactor


@dataclass(frozen=True)
class Kept:
    """A text in the directory: the hash that names its file, its characters, its line ends."""

    sha256: str
    chars: int
    lines: int


class Documents:
    """Loaded documents in the order loaded.

    Args:
        directory: where the texts lie; it is made when the first is kept. None is a temporary one.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._directory = directory
        self._documents: dict[str, Document] = {}
        self._active: str | None = None

    @property
    def directory(self) -> Path:
        """Where the texts lie."""
        if self._directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="fleet-documents-")
            self._directory = Path(self._temporary.name)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._directory

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._documents.values()))

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, alias: str) -> bool:
        return alias in self._documents

    @property
    def active(self) -> Document | None:
        """The document meant where none is named: the one set, else the one loaded last."""
        return None if self._active is None else self._documents[self._active]

    def get(self, alias: str = "") -> Document:
        """The document of this alias, or the active one.

        Raises:
            DocumentError: there is none.
        """
        if not alias and self.active is not None:
            return self.active
        if alias not in self._documents:
            there_are = ", ".join(map(repr, self._documents)) or "none yet; load one with load_document"
            raise DocumentError(f"there is no document {alias!r}; there are: {there_are}")
        return self._documents[alias]

    def set_active(self, alias: str) -> Document:
        """Make a document the active one. Raises DocumentError if there is none of this alias."""
        document = self.get(alias)
        self._active = document.alias
        return document

    def add(
        self, alias: str, source: str, kind: str, text: Iterable[str], metadata: Mapping[str, Any] | None = None
    ) -> Document:
        """Keep a text, given in pieces, and make it active; a document of the same alias is replaced.

        Raises:
            DocumentError: the alias is no name for a variable, or the text cannot be written.
        """
        check_alias(alias)
        return self.put(alias, source, kind, self.keep(text), metadata or {})

    def keep(self, text: Iterable[str]) -> Kept:
        """Write a text, given in pieces, to the directory; may take as long as copying a large file.

        Raises:
            DocumentError: it cannot be written.
        """
        try:
            return self._kept(text)
        except OSError as error:
            place = self._directory or tempfile.gettempdir()
            raise DocumentError(f"the text cannot be kept in {place}: {error.strerror}") from error

    def _kept(self, text: Iterable[str]) -> Kept:
        digest, chars, lines = hashlib.sha256(), 0, 0
        fd, partial = tempfile.mkstemp(dir=self.directory, prefix=".partial-")
        try:
            with open(fd, "wb") as file:
                for piece in text:
                    data = clean(piece).encode()
                    digest.update(data)
                    chars, lines = chars + len(piece), lines + piece.count("\n")
                    file.write(data)
                if self._temporary is None:  # a state will name it: it is on the disk before that
                    settle(file)
            os.replace(partial, self.directory / digest.hexdigest())
        except BaseException:
            os.unlink(partial)
            raise
        if self._temporary is None:
            settle_names(self.directory)
        return Kept(digest.hexdigest(), chars, lines)

    def put(self, alias: str, source: str, kind: str, kept: Kept, metadata: Mapping[str, Any]) -> Document:
        """Make a document of a text that was kept, and make it active; a secret in its address is not kept."""
        document = Document(
            alias=alias,
            source=Redactor().text(source),
            kind=kind,
            chars=kept.chars,
            sha256=kept.sha256,
            metadata={"lines": kept.lines, **metadata},
            path=self.directory / kept.sha256,
        )
        self._documents[alias] = document
        self._active = alias
        return document

    def adopt(self, state: Mapping[str, Any]) -> Document | None:
        """Have a document again by its `state()`, and make it active; None if its text is not in the directory."""
        document = Document(**state, path=self.directory / state["sha256"])
        if not document.is_kept:
            return None
        self._documents[document.alias] = document
        self._active = document.alias
        return document

    def remove(self, alias: str) -> None:
        """Forget a document; its text goes with the directory. Raises DocumentError if there is none."""
        del self._documents[self.get(alias).alias]
        if self._active == alias:
            self._active = next(reversed(self._documents), None)

    def state(self) -> dict[str, Any]:
        """All but the texts, as plain JSON; `hashes` names the files of the texts."""
        return {"active": self._active, "documents": [document.state() for document in self]}

    def hashes(self) -> list[str]:
        """Names of the files in `directory` that the documents need."""
        return list(dict.fromkeys(name for document in self for name in document.hashes()))

    def unneeded(self) -> set[str]:
        """Names of the files in `directory` that these documents do not need: replaced texts, halves of cut loads."""
        there = self._directory.iterdir() if self._directory is not None and self._directory.is_dir() else ()
        return {path.name for path in there} - set(self.hashes())

    @classmethod
    def from_state(cls, state: Mapping[str, Any], directory: Path) -> Documents:
        """The documents of a `state()`, over the directory that holds their texts.

        Nothing is read yet: a text that is gone or was changed is told when it is read.
        """
        documents = cls(directory)
        for kept in state["documents"]:
            documents._documents[kept["alias"]] = Document(**kept, path=directory / kept["sha256"])
        documents._active = state["active"]
        return documents

    def __repr__(self) -> str:
        active = self.active
        told = (f"{'*' if one is active else ' '} {one.alias}: {one.kind}, {one.chars:,} characters" for one in self)
        return "\n".join(told) or "no documents"


def check_alias(alias: str) -> None:
    """Raise DocumentError unless the alias can be the name of a variable in a sandbox."""
    if not alias.isidentifier() or keyword.iskeyword(alias) or alias.startswith("_") or alias in RESERVED:
        raise DocumentError(
            f"{alias!r} cannot be the alias of a document; it becomes a variable, so use a Python name such as 'report'"
        )


def clean(text: str) -> str:
    """The text without what no file of text can hold: NUL, which would make it binary, and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
