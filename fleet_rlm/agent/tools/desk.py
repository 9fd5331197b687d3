"""Desk: what all tools of one run share, and the way of documents into its sandbox.

A document is put into the sandbox as a variable named by its alias: those of the session when the run begins, those
loaded since before the next code runs. Children are forks, so they have them too.
"""

from __future__ import annotations

from typing import Any

from fleet_rlm.agent.documents import Document
from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.rlm.children import fill
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.sandbox.base import Sandbox


class Desk:
    """The surroundings of the tools of one run.

    Args:
        names: the variables of the sandbox, the documents among them; grows as documents are put there.
        workspace: of the session, None for a run without one.
    """

    def __init__(self, scope: Scope, sandbox: Sandbox, names: list[str], workspace: Workspace | None) -> None:
        self.scope = scope
        self.sandbox = sandbox
        self.names = names
        self.workspace = workspace
        documents = workspace.documents if workspace else ()
        self._placed = {one.alias: one.sha256 for one in documents if one.alias in names}

    async def ready(self) -> Sandbox:
        """The sandbox, with every document and every function in it."""
        for document in self.workspace.documents if self.workspace else ():
            if self._placed.get(document.alias) != document.sha256:
                await self.put(document.alias, document.value())
                self._placed[document.alias] = document.sha256
        fill(self.scope, self.sandbox, self.names)
        return self.sandbox

    async def put(self, name: str, value: Any) -> None:
        """Bind a variable of the sandbox that children get too."""
        await self.sandbox.aput(name, value)
        if name not in self.names:
            self.names.append(name)


class Library:
    """The desk's documents: found by alias, or loaded.

    Raises (both methods):
        DocumentError: there is no such document, or it cannot be loaded.
    """

    def __init__(self, desk: Desk, workspace: Workspace) -> None:
        self.documents = workspace.documents
        self.loader = Loader(workspace.documents, workspace.roots, workspace.fetcher, taken=desk.names)

    def get(self, alias: str = "") -> Document:
        """A loaded document, the active one if none is named."""
        return self.documents.get(alias)

    async def get_or_load(self, where: str) -> Document:
        """A document by alias, else what a URL or path gives; the active one if nothing is named."""
        if not where or where in self.documents or where.isidentifier():
            return self.documents.get(where)
        loaded = next((one for one in self.documents if one.source == where), None)
        return loaded or await self.loader.load(where)
