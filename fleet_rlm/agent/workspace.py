"""Workspace: what a session lets its agent work with, and all that the agent's tools see of the session.

The session owns it, fills it and saves it; the tools read and change it. A run without a session has none, and then
its agent has only the tools over the run's own data.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from fleet_rlm.agent.buffers import Buffers
from fleet_rlm.agent.documents import Document, Documents
from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.documents.turn import TurnDocuments
from fleet_rlm.agent.effects import Effects
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.agent.roots import Roots
from fleet_rlm.core.settings import Settings
from fleet_rlm.rlm.describe import describe


class VolumeFiles(Protocol):
    """The texts of the session's memory folder, by path relative to it. Each raises a FleetError that says why not."""

    async def alist(self, folder: str = "") -> list[str]:
        """Relative paths of the files below `folder`, sorted."""
        ...

    async def aread(self, path: str) -> str:
        """The text of a file."""
        ...

    async def awrite(self, path: str, text: str) -> None:
        """Write a file whole, with the folders above it."""
        ...

    async def adelete(self, path: str) -> None:
        """Remove a file."""
        ...


@dataclass(frozen=True)
class Exchange:
    """One question of the session and its answer."""

    question: str
    answer: str


@dataclass(kw_only=True)
class Workspace:
    """What the agent of a session may use; a part that is None or empty brings no tools.

    Attributes:
        documents: the loaded documents.
        buffers: named lists of texts.
        effects: which tool calls have changed buffers and memory already.
        memory: the core memory, in the prompt.
        files: the memory folder of the session's volume.
        roots: where files of this machine may be read; None is nowhere.
        fetcher: how URLs are fetched.
        history: earlier questions and answers, oldest first.
    """

    documents: Documents = field(default_factory=Documents)
    buffers: Buffers = field(default_factory=Buffers)
    effects: Effects = field(default_factory=Effects)
    memory: CoreMemory | None = None
    files: VolumeFiles | None = None
    roots: Roots | None = field(default_factory=lambda: Roots(*Settings.from_environ().roots))
    fetcher: Fetcher = field(default_factory=lambda: Fetcher(allow=Settings.from_environ().fetch_allow))
    history: list[Exchange] = field(default_factory=list)

    def of_turn(self, run: Path | None = None) -> tuple[Workspace, TurnDocuments]:
        """The workspace as one turn sees it, and its documents, which come back into these when it ends.

        Args:
            run: the directory of the run, if that goes on.
        """
        documents = TurnDocuments(self.documents, run)
        return replace(self, documents=documents), documents

    def values(self) -> dict[str, Any]:
        """The documents as values for a sandbox, by alias; without those whose text is gone."""
        return {document.alias: document.value() for document in self.documents if document.is_kept}

    def memory_text(self) -> str:
        """The core memory as it stands in a prompt; empty where there is none."""
        return self.memory.text() if self.memory is not None else ""

    def described(self) -> list[dict[str, str]]:
        """The documents as a prompt tells of them, gone ones included; see `fleet_rlm.rlm.describe`."""
        return [describe(one.alias, one.value()) if one.is_kept else _gone(one) for one in self.documents]


def _gone(document: Document) -> dict[str, str]:
    told = f"a document whose text is gone: load {document.source} again before you use it"
    return {"name": document.alias, "type": document.kind, "size": told, "preview": ""}
