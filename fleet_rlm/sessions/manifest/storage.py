"""Where manifests lie: whole files that are created once, read, listed and deleted, and nothing else.

That is what every kind of durable storage can do. A file system gives it by linking a finished file to its name; an
object store mounted as a directory knows no links, renames or appends, but creates a name exclusively. A volume says
which one its sessions have (`Volume.meta`).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from fleet_rlm.core.disk import settle, settle_names


class Storage(ABC):
    """Files by name; `str()` of it tells a user where they lie."""

    @abstractmethod
    def names(self) -> list[str]:
        """The files, sorted; none where none was ever created. Raises OSError where they cannot be listed now."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A whole file. Raises OSError, FileNotFoundError if there is none."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no fault. Raises OSError."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> None:
        """Write a whole file that is on the disk when this returns.

        Raises:
            FileExistsError: the name is taken; what has it is untouched.
            OSError: it cannot be written; then there is no such file.
        """


class DirectoryStorage(Storage):
    """In one directory, which is made when the first file is created.

    Args:
        directory: where they lie.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __str__(self) -> str:
        return str(self.directory)

    def names(self) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.directory) if not entry.name.startswith("."))
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def delete(self, name: str) -> None:
        (self.directory / name).unlink(missing_ok=True)


class LocalStorage(DirectoryStorage):
    """On a file system with hard links: nobody ever sees half a file, whenever the machine stops."""

    def create(self, name: str, data: bytes) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, partial = tempfile.mkstemp(prefix=".partial-", dir=self.directory)
        try:
            with open(fd, "wb") as file:
                file.write(data)
                settle(file)
            os.link(partial, self.directory / name)
        finally:
            os.unlink(partial)
        settle_names(self.directory)


class ObjectStorage(DirectoryStorage):
    """In a directory like that of a mounted object store: names are created exclusively, nothing is renamed."""

    def create(self, name: str, data: bytes) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.directory / name
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(data)
                settle(file)  # before closing: an upload that fails is told here
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise


def storage_at(directory: Path) -> DirectoryStorage:
    """The storage for a directory, found by trying what it can do.

    Raises:
        OSError: nothing can be written there.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, partial = tempfile.mkstemp(prefix=".probe-", dir=directory)
    os.close(fd)
    linked = f"{partial}.linked"
    try:
        os.link(partial, linked)
    except OSError:
        return ObjectStorage(directory)
    else:
        os.unlink(linked)
        return LocalStorage(directory)
    finally:
        os.unlink(partial)
