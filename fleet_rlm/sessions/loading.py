"""Documents that the user loads: from anywhere on this machine, where the agent reads below its roots only."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from fleet_rlm.agent.documents import Document
from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.agent.roots import Roots
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.loop import run_sync


class UserLoader:
    """Loads into the documents of a workspace.

    Args:
        taken: names no document may have.
    """

    def __init__(self, workspace: Workspace, taken: Container[str]) -> None:
        self._loader = Loader(workspace.documents, Roots("/"), workspace.fetcher, taken=taken)

    def load(self, where: str | Path, alias: str) -> Document:
        """Load a file, a directory or a URL. Raises DocumentError."""
        return run_sync(self._loader.load(_place(where), alias))

    def load_repository(self, repo_url: str | Path, repo_ref: str, alias: str) -> Document:
        """Load the text files of a git repository. Raises DocumentError."""
        return run_sync(self._loader.load_repository(_place(repo_url), repo_ref, alias))


def _place(where: str | Path) -> str:
    """A URL as it is, and the whole of a path."""
    is_whole = isinstance(where, str) and ("://" in where or not where)
    return str(where) if is_whole else os.path.abspath(os.path.expanduser(where))
