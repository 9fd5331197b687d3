"""Volumes that are no directories, as those of a service far away: only the texts of documents lie on this machine."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from fleet_rlm.sessions.manifest import Storage
from fleet_rlm.sessions.volumes import Entry, Quota, Volume, VolumeError, Volumes
from fleet_rlm.sessions.volumes.volume import PREVIEW_BYTES, checked
from tests.sessions.manifest.places import MemoryStorage


class MemoryVolume(Volume):
    """Files by path, manifests by session."""

    def __init__(self, name: str, texts: Path) -> None:
        super().__init__(name)
        self._files: dict[str, bytes] = {}
        self._meta: dict[str, MemoryStorage] = {}
        self._texts = texts

    def meta(self, session: str, *, writable: bool = True) -> Storage:
        return self._meta.setdefault(session, MemoryStorage()) if writable else self._meta.get(session, MemoryStorage())

    def documents(self, session: str) -> Path:
        return self._texts / session

    def sessions(self) -> list[str]:
        return sorted(self._meta)

    def forget(self, session: str) -> None:
        self._meta.pop(session, None)
        shutil.rmtree(self.documents(session), ignore_errors=True)

    def contains(self, path: Path) -> bool:
        return False

    async def atree(self, folder: str = "") -> list[Entry]:
        below = [path for path in sorted(self._files) if path.startswith(f"{folder}/" if folder else "")]
        return [Entry(path, False, len(self._files[path]), 1, 0.0) for path in below]

    async def aread(self, path: str) -> bytes:
        if path not in self._files:
            raise VolumeError(f"volume {self.name!r} has no {path!r}")
        return self._files[path]

    async def apreview(self, path: str, size: int = PREVIEW_BYTES) -> str:
        return (await self.aread(path))[:size].decode()

    async def awrite(self, path: str, data: bytes | str | Path) -> Entry:
        content = await asyncio.to_thread(_bytes, data)
        self._files["/".join(checked(path))] = content
        return Entry(path, False, len(content), 1, 0.0)

    async def adownload(self, path: str, to: Path) -> Path:
        await asyncio.to_thread(to.write_bytes, await self.aread(path))
        return to

    async def adelete(self, path: str) -> None:
        gone = [one for one in self._files if one == path or one.startswith(f"{path}/")]
        if not gone:
            raise VolumeError(f"volume {self.name!r} has no {path!r}")
        for one in gone:
            del self._files[one]


class MemoryVolumes(Volumes):
    """As many as are asked for; one is there once it is asked for."""

    def __init__(self, texts: Path) -> None:
        self._volumes: dict[str, Volume] = {}
        self._texts = texts
        self.is_away = False

    def names(self) -> list[str]:
        if self.is_away:
            raise OSError("the service does not answer")
        return sorted(self._volumes)

    def remove(self, name: str) -> None:
        volume = self._volumes.pop(name, None)
        for session in volume.sessions() if volume is not None else ():
            volume.forget(session)

    def _named(self, name: str, quota: Quota | None) -> Volume:
        return self._volumes.setdefault(name, MemoryVolume(name, self._texts))


def _bytes(data: bytes | str | Path) -> bytes:
    if isinstance(data, Path):
        return data.read_bytes()
    return data.encode() if isinstance(data, str) else data
