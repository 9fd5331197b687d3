"""VolumeService: the volumes of one user at a time, within their quota; links are followed by nobody."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import mimetypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fleet_rlm.server.services.errors import NotFound, ServiceError
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.page import Page
from fleet_rlm.server.services.volumes.models import Node, Preview, Volume, VolumeTree

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.sessions.volumes import LocalVolume
    from fleet_rlm.sessions.volumes.volume import Entry

NODES = 5_000
UPLOAD_BYTES = 64 << 20
"""What one upload may have; the handler reads no more."""


class Full(ServiceError):
    """The file does not fit into what the volume may hold."""

    status, code = 413, "quota_exceeded"


class VolumeService:
    """The volumes of everybody; each verb sees those of the identity it is given.

    Args:
        base: the server's FLEET_HOME.
        quota_bytes, quota_files: what an upload may fill a volume up to.

    Raises (every verb that names a volume):
        NotFound: there is no such volume, or no such file in it.
        VolumeError: the path is none of a volume.
    """

    def __init__(self, base: Path, quota_bytes: int, quota_files: int) -> None:
        self._base = base
        self._quota = quota_bytes, quota_files

    async def list(self, identity: Identity, limit: int, offset: int) -> Page[Volume]:
        """Volumes by name."""
        home = Owner.of(identity).home(self._base)
        places = await asyncio.to_thread(lambda: sorted(one.name for one in home.glob("volumes/*") if one.is_dir()))
        shown = [await self._told(self._at(home, name)) for name in places[offset : offset + limit]]
        more = offset + len(shown) < len(places)
        return Page(items=shown, total=len(places), offset=offset, limit=limit, has_more=more)

    async def tree(self, identity: Identity, volume: str, path: str, max_depth: int) -> VolumeTree:
        """What is below a folder."""
        with _missing(path):
            entries = await self._volume(identity, volume).atree(path)
        level = len([part for part in path.split("/") if part not in ("", ".")])
        near = [entry for entry in entries if entry.path.count("/") - level < max_depth]
        return VolumeTree(
            volume=volume,
            path=path,
            nodes=[_node(entry) for entry in near[:NODES]],
            total_files=sum(not entry.is_folder for entry in entries),
            total_folders=sum(entry.is_folder for entry in entries),
            truncated=len(near) > NODES or len(near) < len(entries),
        )

    async def preview(self, identity: Identity, volume: str, path: str, most: int) -> Preview:
        """The beginning of a file."""
        with await self.open(identity, volume, path) as file:
            head = await asyncio.to_thread(file.read, most)
            size = os.fstat(file.fileno()).st_size
        text = None if b"\0" in head else head.decode("utf-8", "replace")
        return Preview(volume=volume, path=path, mime=mime_of(path), bytes=size, text=text, truncated=size > len(head))

    async def open(self, identity: Identity, volume: str, path: str) -> BinaryIO:
        """A whole file; whoever asks closes it."""
        with _missing(path):
            return await self._volume(identity, volume).aopen(path)

    async def upload(self, identity: Identity, volume: str, path: str, data: bytes) -> Node:
        """Write a file whole, with the folders above it; one that is there is replaced. Raises Full."""
        from fleet_rlm.sessions.volumes.volume import VolumeFull

        try:
            return _node(await self._volume(identity, volume).awrite(path, data))
        except VolumeFull as full:
            raise Full(str(full)) from full

    async def delete(self, identity: Identity, volume: str, path: str) -> None:
        """Remove a file, or a folder with all it holds."""
        with _missing(path):
            await self._volume(identity, volume).adelete(path)

    async def _told(self, volume: LocalVolume) -> Volume:
        files = [entry for entry in await volume.atree() if not entry.is_folder]
        held = sum(entry.bytes for entry in files)
        most, most_files = self._quota
        return Volume(name=volume.name, bytes=held, files=len(files), quota_bytes=most, quota_files=most_files)

    def _volume(self, identity: Identity, name: str) -> LocalVolume:
        home = Owner.of(identity).home(self._base)
        if not (home / "volumes" / name).is_dir():
            raise NotFound("volume", name)
        return self._at(home, name)

    def _at(self, home: Path, name: str) -> LocalVolume:
        from fleet_rlm.sessions.volumes import LocalVolume, Quota

        return LocalVolume(name, home / "volumes" / name, Quota(*self._quota))


def mime_of(path: str) -> str:
    """What a file is by its name."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


@contextlib.contextmanager
def _missing(path: str) -> Iterator[None]:
    """A file that is not there is not found, rather than asked for in a wrong way."""
    from fleet_rlm.sessions.volumes.volume import VolumeError

    try:
        yield
    except VolumeError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise NotFound("file", path) from None
        raise


def _node(entry: Entry) -> Node:
    path = os.fsencode(entry.path).decode(errors="backslashreplace")  # code can name a file by bytes that are no text
    return Node(
        path=path,
        name=path.rpartition("/")[2],
        type="folder" if entry.is_folder else "file",
        bytes=entry.bytes,
        files=entry.files,
        modified_at=datetime.datetime.fromtimestamp(entry.modified, datetime.UTC),
    )
