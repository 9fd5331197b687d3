"""A volume in a directory of this machine.

Paths are walked by `core.inside`, which follows no link: nothing that is put into a volume can lead out of it, not even
while it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from fleet_rlm.core import inside
from fleet_rlm.core.disk import settle
from fleet_rlm.sessions.manifest.storage import DirectoryStorage, LocalStorage, storage_at
from fleet_rlm.sessions.volumes.volume import (
    DEPTH,
    PREVIEW_BYTES,
    ROOTS,
    Entry,
    Quota,
    Volume,
    VolumeError,
    VolumeFull,
    checked,
)

_CHUNK = 1 << 20


class LocalVolume(Volume):
    """Files below `directory`, which is made when something is first written.

    Args:
        name: what sessions call it.
        directory: its top.
        quota: what it may hold.
    """

    def __init__(self, name: str, directory: Path, quota: Quota | None = None) -> None:
        super().__init__(name, quota)
        self.directory = directory

    def meta(self, session: str, *, writable: bool = True) -> DirectoryStorage:
        place = self._sessions / session
        return storage_at(place) if writable else LocalStorage(place)

    def documents(self, session: str) -> Path:
        return self._sessions / session / "documents"

    def sessions(self) -> list[str]:
        return sorted(path.name for path in self._sessions.iterdir()) if self._sessions.is_dir() else []

    def forget(self, session: str) -> None:
        if (self._sessions / session).exists():
            shutil.rmtree(self._sessions / session)

    def contains(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.directory.resolve())

    @property
    def _sessions(self) -> Path:
        return self.directory / "meta" / "sessions"

    async def atree(self, folder: str = "") -> list[Entry]:
        return await asyncio.to_thread(self._tree, folder)

    async def aread(self, path: str) -> bytes:
        return await asyncio.to_thread(self._read, path, None)

    async def apreview(self, path: str, size: int = PREVIEW_BYTES) -> str:
        return await asyncio.to_thread(self._preview, path, size)

    async def awrite(self, path: str, data: bytes | str | Path) -> Entry:
        return await asyncio.to_thread(self._write, path, data)

    async def adownload(self, path: str, to: Path) -> Path:
        return await asyncio.to_thread(self._download, path, to)

    async def adelete(self, path: str) -> None:
        await asyncio.to_thread(self._delete, path)

    async def aopen(self, path: str) -> BinaryIO:
        """A file, open for reading; whoever asks closes it. Raises VolumeError."""
        return await asyncio.to_thread(self._opened, path)

    def _opened(self, path: str) -> BinaryIO:
        with self._told(path), self._file(path) as fd:
            return open(os.dup(fd), "rb")

    def _tree(self, folder: str) -> list[Entry]:
        parts = checked(folder)
        if len(parts) > 1:
            with self._told(folder), self._folder(parts) as fd:
                return sorted(_entries(fd, "/".join(parts)), key=lambda entry: entry.path)
        found: list[Entry] = []
        for root in (parts or ROOTS) if self.directory.is_dir() else ():  # made when something is first written
            with self._told(root), contextlib.suppress(FileNotFoundError), self._folder((root,)) as fd:
                found += _entries(fd, root)
        return sorted(found, key=lambda entry: entry.path)

    def _read(self, path: str, size: int | None) -> bytes:
        with self._told(path), self._file(path) as fd, open(fd, "rb", closefd=False) as file:
            return file.read() if size is None else file.read(size)

    def _preview(self, path: str, size: int) -> str:
        with self._told(path), self._file(path) as fd:
            total, head = os.fstat(fd).st_size, os.read(fd, size)
        if b"\0" in head:
            return f"({total:,} bytes that are no text)"
        left = f"\n... ({total - len(head):,} more bytes)" if total > len(head) else ""
        return head.decode("utf-8", "replace") + left

    def _write(self, path: str, data: bytes | str | Path) -> Entry:
        *folders, name = checked(path) or ("",)
        if not folders:
            raise VolumeError(f"{path!r} names no file; write it as memory/notes.md")
        with self._told(path), contextlib.ExitStack() as open_now:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = open_now.enter_context(inside.folder(self.directory, folders, make=True))
            if isinstance(data, Path):
                if not data.is_file():
                    raise VolumeError(f"{data} is no file to upload")
                source = open_now.enter_context(open(data, "rb"))
                size = os.fstat(source.fileno()).st_size
            else:
                content = data.encode("utf-8", "replace") if isinstance(data, str) else data
                size = len(content)
            self._check_room(path, size, _size(fd, name))
            partial = f".partial-{secrets.token_hex(8)}"
            target = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=fd)
            try:
                with open(target, "wb") as file:
                    if isinstance(data, Path):
                        shutil.copyfileobj(source, file, _CHUNK)
                    else:
                        file.write(content)
                    settle(file)
                os.replace(partial, name, src_dir_fd=fd, dst_dir_fd=fd)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(partial, dir_fd=fd)
                raise
            kept = os.stat(name, dir_fd=fd, follow_symlinks=False)
            return Entry("/".join((*folders, name)), False, kept.st_size, 1, kept.st_mtime)

    def _download(self, path: str, to: Path) -> Path:
        parts = checked(path)
        if not parts:
            raise VolumeError("name the file or folder to download, such as artifacts")
        target = to / parts[-1] if to.is_dir() else to
        with self._told(path):
            if not self._is_folder(parts):
                with self._file(path) as fd, open(fd, "rb", closefd=False) as source, open(target, "xb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
                return target
            for entry in self._tree(path):
                place = target / entry.path.removeprefix("/".join(parts) + "/")
                if entry.is_folder:
                    place.mkdir(parents=True, exist_ok=True)
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                with self._file(entry.path) as fd, open(fd, "rb", closefd=False) as source, open(place, "xb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
        return target

    def _delete(self, path: str) -> None:
        *folders, name = checked(path) or ("",)
        if not folders:
            raise VolumeError(f"{path!r} is a root of the volume; delete what is in it")
        with self._told(path), self._folder(tuple(folders)) as fd:
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)

    def _is_folder(self, parts: tuple[str, ...]) -> bool:
        if len(parts) == 1:
            return True
        with self._folder(parts[:-1]) as fd:
            return stat.S_ISDIR(os.stat(parts[-1], dir_fd=fd, follow_symlinks=False).st_mode)

    def _check_room(self, path: str, size: int, before: int | None) -> None:
        entries = [entry for entry in self._tree("") if not entry.is_folder]
        held = sum(entry.bytes for entry in entries) - (before or 0)
        if held + size > self.quota.bytes:
            raise VolumeFull(
                f"{path} has {size:,} bytes, and volume {self.name!r} has room for {max(self.quota.bytes - held, 0):,} "
                f"of its {self.quota.bytes:,}; delete what is not needed"
            )
        if before is None and len(entries) >= self.quota.files:
            raise VolumeFull(
                f"volume {self.name!r} holds {len(entries):,} files, and may hold {self.quota.files:,}; delete what is "
                "not needed"
            )

    def _folder(self, parts: tuple[str, ...]) -> AbstractContextManager[int]:
        """The descriptor of a folder."""
        return inside.folder(self.directory, parts)

    @contextlib.contextmanager
    def _file(self, path: str) -> Iterator[int]:
        parts = checked(path)
        if len(parts) < 2:
            raise VolumeError(f"{path or 'the volume'} is a folder, not a file")
        fd = inside.opened(self.directory, parts)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Turn the system's refusals into sentences."""
        try:
            yield
        except FileNotFoundError as error:
            raise VolumeError(f"volume {self.name!r} has no {path!r}; .tree() lists what it has") from error
        except FileExistsError as error:
            raise VolumeError(f"{error.filename} exists already; download to another place") from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise VolumeError(f"{path!r} leads over a link or a file; volumes follow no links") from error
            raise VolumeError(f"{path} of volume {self.name!r} cannot be used: {error.strerror or error}") from error


def _entries(fd: int, path: str) -> Iterator[Entry]:
    """What is below an open folder, but for links, special and unfinished files, and what goes meanwhile."""
    with os.scandir(fd) as found:
        entries = [entry for entry in found if not entry.name.startswith(".partial-")]
    for entry in entries:
        with _unless_gone():
            told, below = entry.stat(follow_symlinks=False), f"{path}/{entry.name}"
            if stat.S_ISREG(told.st_mode):
                yield Entry(below, False, told.st_size, 1, told.st_mtime)
            elif stat.S_ISDIR(told.st_mode):
                held = _held(fd, entry.name, below)
                files = [one for one in held if not one.is_folder]
                yield Entry(below, True, sum(one.bytes for one in files), len(files), told.st_mtime)
                yield from held


def _held(fd: int, name: str, path: str) -> list[Entry]:
    if path.count("/") >= DEPTH - 1:  # made by no verb of ours
        return []
    inner = os.open(name, inside.LISTED, dir_fd=fd)
    try:
        return list(_entries(inner, path))
    finally:
        os.close(inner)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """Go on where something was deleted, or became a link, since it was seen."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            raise


def _size(fd: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False).st_size
    except FileNotFoundError:
        return None
