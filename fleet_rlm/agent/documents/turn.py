"""The documents of one turn: its session's as they were when it began, brought back into the session when it ends.

A turn that goes on, in this process or another, works on what it began with, whatever was loaded, chosen or removed in
between. Where both have changed the same alias, the session's document stays and the turn's gets another name.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleet_rlm.agent.documents.collection import Documents, Kept
from fleet_rlm.agent.documents.document import Document
from fleet_rlm.agent.documents.errors import DocumentError

NAME = "documents.json"
"""In a run's directory: the documents with which its turn began, those it left in the session when it ended, and the
hashes of the texts it has loaded, which it has again when it goes on."""


class TurnDocuments(Documents):
    """A copy of a session's documents, over the same texts.

    Args:
        session: the session's.
        run: the directory of a run that goes on, and so from the documents it began with.
    """

    def __init__(self, session: Documents, run: Path | None = None) -> None:
        super().__init__()
        self._session = session
        now = session.state()
        recorded = None if run is None else _read(run / NAME)
        self._begun: dict[str, Any] = now if recorded is None else recorded["begun"]
        self._left: dict[str, Any] = now if recorded is None else recorded["left"]
        self._loaded: list[str] = [] if recorded is None else recorded.get("loaded", [])
        self._run = run
        if self._begun["documents"]:
            began = Documents.from_state(self._begun, session.directory)
            self._documents, self._active = began._documents, began._active

    @property
    def directory(self) -> Path:
        """Where the texts lie."""
        return self._session.directory

    def gives(self, name: str, value: Any) -> bool:
        """Whether the value of this name is that of a document, and so kept with the session."""
        return name in self and getattr(value, "path", None) == self._documents[name].path

    def put(self, alias: str, source: str, kind: str, kept: Kept, metadata: Mapping[str, Any]) -> Document:
        """As that of a session; that the run needs the text is on the disk before the run's log says so."""
        index = [metadata["index"]] if "index" in metadata else []
        self._loaded += [name for name in (kept.sha256, *index) if name not in self._loaded]
        if self._run is not None:
            self.record(self._run)
        return super().put(alias, source, kind, kept, metadata)

    def record(self, run: Path) -> None:
        """Write into the directory of the run what a turn that goes on must know. Raises OSError."""
        self._run = run
        half = run / f"{NAME}.new"
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({"begun": self._begun, "left": self._left, "loaded": self._loaded}, file)
        os.replace(half, run / NAME)

    def merge(self) -> list[str]:
        """Bring what the turn has changed into the session; returns what there is to tell of it.

        What an earlier leg of the turn brought there is not brought again, but where it is missing: its save was lost.
        """
        session, told, names = self._session, [], {}
        begun, left = _hashes(self._begun), _hashes(self._left)
        for document in self:
            alias, before = document.alias, (begun.get(document.alias), left.get(document.alias))
            theirs = session._documents.get(alias)
            if document.sha256 == begun.get(alias) or (theirs is not None and document.sha256 == left.get(alias)):
                continue
            if theirs is not None and theirs.sha256 not in (*before, document.sha256):
                there = (one.alias for one in session if one.sha256 == document.sha256)
                free = (name for n in itertools.count(2) if (name := f"{alias}_{n}") not in session)
                names[alias] = next(itertools.chain(there, free))
                told.append(f"{alias} was loaded by you and by this turn: yours stays, the turn's is {names[alias]}")
            name = names.get(alias, alias)
            session._documents[name] = replace(document, alias=name)
        active = names.get(self._active or "", self._active or "")
        if active in session and active != self._left["active"]:
            if session._active in (self._begun["active"], self._left["active"], None):
                session._active = active
            elif session._active != active:
                told.append(f"the active document is still {session._active}, chosen since; the turn's is {active}")
        self._left = session.state()
        return told


def texts_of(run: Path) -> set[str] | None:
    """The texts that the run with this directory needs to go on, by hash; None where the directory does not tell."""
    try:
        recorded = _read(run / NAME)
        if recorded is None:
            return None
        documents = (*recorded["begun"]["documents"], *recorded["left"]["documents"])
        indexes = (one["metadata"]["index"] for one in documents if "index" in one["metadata"])
        return {*recorded["loaded"], *(one["sha256"] for one in documents), *indexes}
    except (DocumentError, OSError, KeyError, TypeError):  # damaged, unreadable, or older than `loaded`
        return None


def _read(path: Path) -> dict[str, Any] | None:
    """None where the process was killed before it was there: nothing was changed by then."""
    try:
        kept: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise DocumentError(f"{path} is damaged; remove it, and the turn goes on with the documents of now") from None
    return kept


def _hashes(state: Mapping[str, Any]) -> dict[str, str]:
    return {kept["alias"]: kept["sha256"] for kept in state["documents"]}
