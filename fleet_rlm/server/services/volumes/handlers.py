"""The routes of volumes: parse, call the service, answer. A file is uploaded as the body of the request, as it is."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.auth.refusals import UnsupportedBody
from fleet_rlm.server.auth.refused import RefusedRequest
from fleet_rlm.server.base import Handler
from fleet_rlm.server.sending import send_file
from fleet_rlm.server.services.sessions.models import PageQuery
from fleet_rlm.server.services.volumes.models import FileQuery, PreviewQuery, TreeQuery
from fleet_rlm.server.services.volumes.service import UPLOAD_BYTES, mime_of

RESOURCE = "fleet.volumes"


class Volumes(Handler):
    """All volumes."""

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """List them by name, with what they hold."""
        asked = self.query(PageQuery)
        self.answer(await self.house.volumes.list(self.identity, asked.limit, asked.offset))


class VolumeTree(Handler):
    """What a volume holds."""

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """List what is below a folder."""
        asked = self.query(TreeQuery)
        self.answer(await self.house.volumes.tree(self.identity, asked.volume, asked.path, asked.max_depth))


class VolumeFile(Handler):
    """One file of a volume."""

    most_bytes = UPLOAD_BYTES

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """The beginning of it, as text."""
        asked = self.query(PreviewQuery)
        self.answer(await self.house.volumes.preview(self.identity, asked.volume, asked.path, asked.max_bytes))

    @authorized("write", RESOURCE)
    async def put(self) -> None:
        """Upload it: the body is the file."""
        if self.request.headers.get("Content-Type", "").lower().startswith("multipart/"):
            raise RefusedRequest(UnsupportedBody("send the file itself as the body, not a form with it"))
        asked = self.query(FileQuery)
        self.answer(await self.house.volumes.upload(self.identity, asked.volume, asked.path, self.request.body), 201)

    @authorized("write", RESOURCE)
    async def delete(self) -> None:
        """Delete it, or a folder with all it holds."""
        asked = self.query(FileQuery)
        await self.house.volumes.delete(self.identity, asked.volume, asked.path)
        self.set_status(204)
        self.finish()


class VolumeDownload(Handler):
    """One file of a volume, whole."""

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """The file, to be saved."""
        asked = self.query(FileQuery)
        file = await self.house.volumes.open(self.identity, asked.volume, asked.path)
        await send_file(self, file, asked.path.rpartition("/")[2], mime_of(asked.path))


ROUTES: list[tuple[str, type[Any]]] = [
    (r"/fleet/api/v1/runtime/volumes", Volumes),
    (r"/fleet/api/v1/runtime/volume/tree", VolumeTree),
    (r"/fleet/api/v1/runtime/volume/file", VolumeFile),
    (r"/fleet/api/v1/runtime/volume/download", VolumeDownload),
]
