"""ArtifactService: the files that runs of one user made, and nothing else of the disk they lie on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fleet_rlm.core import inside
from fleet_rlm.server.services.artifacts.models import Artifact
from fleet_rlm.server.services.errors import NotFound
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.page import Page

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.server.services.sessions.service import ScopeOf
    from fleet_rlm.sessions.store.tables import Artifact as Row


class ArtifactService:
    """The artifacts of everybody; each verb sees those of the identity it is given.

    Args:
        scope: the store as a user sees it.
        base: the server's FLEET_HOME.
    """

    def __init__(self, scope: ScopeOf, base: Path) -> None:
        self._scope = scope
        self._base = base

    async def list(self, identity: Identity, run: str | None, limit: int, offset: int) -> Page[Artifact]:
        """Artifacts, the latest first."""
        page = await (await self._scope(identity)).artifacts.alist(run, limit=limit, offset=offset)
        items = [_told(row) for row in page.items]
        return Page(items=items, total=page.total, offset=page.offset, limit=page.limit, has_more=page.has_more)

    async def open(self, identity: Identity, run: str, artifact: str) -> tuple[Artifact, BinaryIO]:
        """One artifact, and its file.

        Raises:
            NotFound: there is none for this identity, or its file is gone.
        """
        row = await (await self._scope(identity)).artifacts.aget(run, artifact)
        runs = Owner.of(identity).home(self._base) / "runs"
        return _told(row), await asyncio.to_thread(file_of, runs, row.run_id, Path(row.path), artifact)


def file_of(runs: Path, run: str, path: Path, artifact: str) -> BinaryIO:
    """The file, if it lies in the run's own place: a log says where, and logs can be written by a kernel.

    Raises:
        NotFound: it does not, or is gone.
    """
    for base in (runs, runs.resolve()):  # a kernel may know its home by another name
        if path.is_relative_to(base / run):
            with contextlib.suppress(OSError):  # deleted, a link, or no file
                return os.fdopen(inside.opened(base, path.relative_to(base).parts), "rb")
    raise NotFound("file of the artifact", artifact)


def _told(row: Row) -> Artifact:
    plain = ("id", "name", "mime", "bytes", "sha256", "provenance", "created_at")
    return Artifact(run=row.run_id, **{name: getattr(row, name) for name in plain})
