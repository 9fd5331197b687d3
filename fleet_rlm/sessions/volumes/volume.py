"""The contract of a volume: files by path below three roots, and a place for manifests that nobody else reaches.

The coroutines are the contract; the blocking names are derived from them. A path is `root/folder/file`, relative,
without `..`; links are followed by nobody.
"""

from __future__ import annotations

import posixpath
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.loop import run_sync
from fleet_rlm.sessions.errors import SessionError
from fleet_rlm.sessions.manifest import Storage

ROOTS = ("memory", "artifacts", "buffers")
"""Folders of a volume that have verbs; `meta` has none."""

PREVIEW_BYTES = 4_000
DEPTH = 64
"""Parts a path may have."""

_UNPRINTED = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that no name has: controls, halves of a pair, and line ends of other alphabets."""


class VolumeError(UserError, SessionError):
    """A file of a volume cannot be read, written or removed as asked."""


class VolumeFull(VolumeError):
    """A file does not fit into what the volume may hold."""


@dataclass(frozen=True)
class Quota:
    """What a volume may hold."""

    bytes: int = 10_000_000_000
    files: int = 10_000


@dataclass(frozen=True)
class Entry:
    """A file, or a folder with the number and bytes of what it holds.

    Attributes:
        path: from the volume's top, such as `memory/notes.md`.
        modified: seconds since 1970 UTC.
    """

    path: str
    is_folder: bool
    bytes: int
    files: int
    modified: float


class Volume(ABC):
    """Files that outlive kernels.

    Attributes:
        name: what sessions call it.
        quota: what it may hold.
    """

    def __init__(self, name: str, quota: Quota | None = None) -> None:
        self.name = name
        self.quota = quota or Quota()

    @abstractmethod
    def meta(self, session: str, *, writable: bool = True) -> Storage:
        """Where the manifests of a session that lives here lie: no verb, tool or code in a sandbox reaches it.

        Args:
            writable: False looks only, and makes nothing.

        Raises:
            OSError: it is to be written and cannot be.
        """

    @abstractmethod
    def documents(self, session: str) -> Path:
        """A local directory for the texts of a session's documents, which sandboxes map; it need not exist yet."""

    @abstractmethod
    def sessions(self) -> list[str]:
        """The ids of the sessions that live here, sorted. Raises OSError where they cannot be listed now."""

    @abstractmethod
    def forget(self, session: str) -> None:
        """Remove a session's manifests and documents; a session that is not here is no fault. Raises OSError."""

    @abstractmethod
    def contains(self, path: Path) -> bool:
        """Whether a file at this path of this machine would be one of the volume's."""

    @abstractmethod
    async def atree(self, folder: str = "") -> list[Entry]:
        """Everything below a folder, sorted by path; below the volume's top, its three roots."""

    @abstractmethod
    async def aread(self, path: str) -> bytes:
        """A whole file."""

    @abstractmethod
    async def apreview(self, path: str, size: int = PREVIEW_BYTES) -> str:
        """The beginning of a file as text, with what was left out; what is no text is told by its size."""

    @abstractmethod
    async def awrite(self, path: str, data: bytes | str | Path) -> Entry:
        """Write a file whole, or a copy of a local file, with the folders above it. Raises VolumeFull."""

    @abstractmethod
    async def adownload(self, path: str, to: Path) -> Path:
        """Copy a file, or a folder with all it holds, to a local place that does not exist yet or is a folder."""

    @abstractmethod
    async def adelete(self, path: str) -> None:
        """Remove a file, or a folder with all it holds."""

    def tree(self, folder: str = "") -> list[Entry]:
        """As `atree`."""
        return run_sync(self.atree(folder))

    def read(self, path: str) -> bytes:
        """As `aread`."""
        return run_sync(self.aread(path))

    def preview(self, path: str, size: int = PREVIEW_BYTES) -> str:
        """As `apreview`."""
        return run_sync(self.apreview(path, size))

    def write(self, path: str, data: bytes | str | Path) -> Entry:
        """As `awrite`; a `pathlib.Path` is uploaded."""
        return run_sync(self.awrite(path, data))

    def download(self, path: str, to: str | Path) -> Path:
        """As `adownload`."""
        return run_sync(self.adownload(path, Path(to)))

    def delete(self, path: str) -> None:
        """As `adelete`."""
        run_sync(self.adelete(path))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Texts:
    """One folder of a volume as texts by path relative to it: what an agent's memory tools see."""

    def __init__(self, volume: Volume, folder: str) -> None:
        self._volume = volume
        self._folder = folder

    async def alist(self, folder: str = "") -> list[str]:
        """Relative paths of the files below `folder`, sorted."""
        entries = await self._volume.atree(self._path(folder))
        return [entry.path.removeprefix(f"{self._folder}/") for entry in entries if not entry.is_folder]

    async def aread(self, path: str) -> str:
        """The text of a file. Raises VolumeError."""
        try:
            return (await self._volume.aread(self._path(path))).decode("utf-8")
        except UnicodeDecodeError:
            raise VolumeError(f"{path} is no text") from None

    async def awrite(self, path: str, text: str) -> None:
        """Write a file whole. Raises VolumeError."""
        await self._volume.awrite(self._path(path), text)

    async def adelete(self, path: str) -> None:
        """Remove a file. Raises VolumeError."""
        await self._volume.adelete(self._path(path))

    def _path(self, path: str) -> str:
        if path.startswith("/"):
            raise VolumeError(f"{path!r} is absolute; a path here is relative to the folder, such as notes.md")
        return f"{self._folder}/{path}" if path else self._folder


def checked(path: str, *, roots: Iterable[str] = ROOTS) -> tuple[str, ...]:
    """The parts of a path that stays inside its root.

    Raises:
        VolumeError: it is absolute or too long, has `..` or a line end in it, or does not begin with a root.
    """
    if len(path) > 2_000:
        raise VolumeError(f"the path {path[:80]!r}... is too long")
    if any(unicodedata.category(char) in _UNPRINTED for char in path):
        raise VolumeError(f"{path!r} holds a line end or another control character; leave it out of the name")
    if "\\" in path or posixpath.isabs(path):
        raise VolumeError(f"{path!r} is no path of a volume; write it as memory/notes.md")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise VolumeError(f"{path!r} leads out of its folder; a path of a volume has no '..'")
    if parts and parts[0] not in roots:
        raise VolumeError(f"a path of a volume begins with {', '.join(f'{root}/' for root in roots)}, not {path!r}")
    if any(len(part.encode()) > 255 for part in parts):
        raise VolumeError(f"the path {path[:80]!r}... is too long")
    if len(parts) > DEPTH:
        raise VolumeError(f"the path {path[:80]!r}... leads through too many folders: a path has {DEPTH} parts at most")
    return parts
