"""Desk: what all tools of one run share, and the way of documents into its sandbox.

A document is put into the sandbox as a variable named by its alias: those of the session when the run begins, those
loaded since before the next code runs. Children are forks, so they have them too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fleet_rlm.agent.documents import Document, DocumentError
from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.journal import Record, digest
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
        self._made: set[str] = set()
        documents = workspace.documents if workspace else ()
        self._placed = {one.alias: one.sha256 for one in documents if one.alias in names and one.is_kept}

    async def ready(self) -> Sandbox:
        """The sandbox, with every document and every function in it."""
        for document in self.workspace.documents if self.workspace else ():
            if document.is_kept and self._placed.get(document.alias) != document.sha256:
                await self._bind(document.alias, document.value())
                self._placed[document.alias] = document.sha256
        fill(self.scope, self.sandbox, self.names)
        return self.sandbox

    async def put(self, name: str, value: Any) -> None:
        """Bind a variable that a tool made, and that children get too.

        Raises:
            DocumentError: the name is that of a document, or of the question's own data.
        """
        if name in self.names and name not in self._made:
            raise DocumentError(f"the name `{name}` is that of other data; load the document under another alias")
        self._made.add(name)
        await self._bind(name, value)

    async def _bind(self, name: str, value: Any) -> None:
        await self.sandbox.aput(name, value)
        if name not in self.names:
            self.names.append(name)


class Library:
    """The documents of the session: found by alias, or loaded.

    A load is in the log with what it gave, so that a run that is resumed has the same text again, whatever has become
    of its source.
    """

    def __init__(self, desk: Desk, workspace: Workspace) -> None:
        self.log = desk.scope.log
        self.documents = workspace.documents
        self.loader = Loader(workspace.documents, workspace.roots, workspace.fetcher, taken=desk.names)

    async def load(self, where: str, alias: str = "") -> Document:
        """Load a path or URL. Raises DocumentError, OutsideRoots or FetchRefused."""
        return await self._recorded([where, alias], lambda: self.loader.load(where, alias))

    async def load_repository(self, url: str, ref: str, alias: str = "") -> Document:
        """Load a git repository. Raises as `load`."""
        return await self._recorded([url, ref, alias], lambda: self.loader.load_repository(url, ref, alias))

    async def get_or_load(self, where: str) -> Document:
        """A document by alias, else what a URL or path gives; the active one if nothing is named. Raises as `load`."""
        if not where or where in self.documents or where.isidentifier():
            return self.documents.get(where)
        loaded = next((one for one in self.documents if one.source == where), None)
        return loaded or await self.load(where)

    async def _recorded(self, asked: list[str], load: Callable[[], Awaitable[Document]]) -> Document:
        key = digest(*asked)
        record = self.log.recorded("tool", "load", key)
        with self.log.span("tool", "load", input=" ".join(asked), attrs={"key": key}, record=record) as span:
            try:
                document = self._known(record) or await load()
            except OSError as error:  # a full disk, no process left: of the machine, not of the document
                raise DocumentError(f"{asked[0]} cannot be loaded: {error.strerror or error}") from error
            span.output = json.dumps(document.state())
            return document

    def _known(self, record: Record | None) -> Document | None:
        if record is None or not record.is_settled:
            return None
        if record.node.status != "ok":
            raise DocumentError(str(record.node.error))
        return self.documents.adopt(json.loads(record.output or "{}"))
