"""ArtifactService: the files that runs of one user made, and nothing else of the disk they lie on."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

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
        place = Owner.of(identity).home(self._base) / "runs" / row.run_id
        return _told(row), await asyncio.to_thread(_opened, place, Path(row.path), artifact)


def _opened(place: Path, path: Path, artifact: str) -> BinaryIO:
    """The file, if it lies below the run's own place: a log says where, and logs can be written by a kernel."""
    if path.resolve().is_relative_to(place.resolve()):
        try:
            return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
        except OSError:  # deleted, or no file
            pass
    raise NotFound("file of the artifact", artifact)


def _told(row: Row) -> Artifact:
    plain = ("id", "name", "mime", "bytes", "sha256", "provenance", "created_at")
    return Artifact(run=row.run_id, **{name: getattr(row, name) for name in plain})
