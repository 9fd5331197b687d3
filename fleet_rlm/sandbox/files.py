"""Files and directories the user grants to generated code, read-only and without giving it any path.

A `GrantedFile` is handed over as an open descriptor. A `GrantedDirectory` is packed into one memory file, once, by
the kernel (the contents never pass through this process); what is left out is listed with its reason. In the guest
they are a `str` (or a lazy text) and a read-only mapping from relative path to text: `fleet_rlm.sandbox.guest.files`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fleet_rlm.core.errors import ContextError

DIRECTORY_LIMIT = 2 << 30  # bytes; the pack lives in memory
FILES_LIMIT = 200_000
SKIPPED_LISTED = 1_000
LEFT_OUT = {
    **dict.fromkeys((".git", ".hg", ".svn"), "version control data"),
    **dict.fromkeys(("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"), "cache"),
    **dict.fromkeys(("node_modules", ".venv", "site-packages", "dist-packages"), "installed packages"),
}


class GrantedFile:
    """One file. In the guest: its text; a lazy text beyond 256 MB."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def opened(self) -> tuple[dict[str, Any], int, int]:
        """Head, descriptor and size. Raises ContextError if it cannot be read or is not a file."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if not os.path.isfile(self.path):
            os.close(fd)
            raise ContextError(f"{self.path} is not a regular file")
        try:
            if b"\0" in os.pread(fd, 8_192, 0):
                raise ContextError(
                    f"{self.path} is a binary file, not text; read it yourself (for instance with pandas) and pass "
                    "the value, or pass its bytes"
                )
        except ContextError:
            os.close(fd)
            raise
        return {"k": "file", "fd": 0, "name": self.path.name}, fd, os.fstat(fd).st_size

    def ends(self, chars: int) -> tuple[int, str, str]:
        """Size in bytes, and about `chars` characters in all of the beginning and the end (empty if that is all)."""
        _, fd, size = self.opened()
        try:
            half = chars // 2
            head = os.pread(fd, chars if size <= chars else half, 0)
            tail = os.pread(fd, half, size - half) if size > chars else b""
        finally:
            os.close(fd)
        return size, head.decode("utf-8", "replace"), tail.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"GrantedFile({str(self.path)!r})"


class GrantedDirectory:
    """One directory tree. Symbolic links are followed to files inside it only; version control data, caches and
    installed packages are left out and listed in the guest's `.skipped`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def packed(self) -> tuple[dict[str, Any], int, int]:
        """Head, descriptor of the pack and its size. Takes as long as reading the tree.

        Raises:
            ContextError: if the directory cannot be read or holds more than 2 GiB.
        """
        try:
            root = self.path.resolve(strict=True)
            os.listdir(root)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        pack = os.memfd_create("directory")
        try:
            index, skipped, size = _fill(pack, root)
        except BaseException:
            os.close(pack)
            raise
        if size == 0:
            os.write(pack, b"\0")  # an empty file cannot be mapped
        head = {"k": "folder", "fd": 0, "size": max(size, 1), "root": root.name, "index": index, "skipped": skipped}
        return head, pack, size

    def file_sizes(self) -> dict[str, int]:
        """Relative path to size in bytes of the files that would be granted, without reading them."""
        root = self.path.resolve()
        return {os.path.relpath(path, root): os.path.getsize(path) for path in _files(root, lambda path, why: None)}

    def __repr__(self) -> str:
        return f"GrantedDirectory({str(self.path)!r})"


def granted(path: Path) -> GrantedFile | GrantedDirectory:
    """The file or directory of a path.

    Raises:
        ContextError: there is nothing there, or it cannot be read.
    """
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None
    if is_directory:
        return GrantedDirectory(path)
    file = GrantedFile(path)
    os.close(file.opened()[1])  # refuse here what could not be opened later
    return file


def _fill(pack: int, root: Path) -> tuple[list[tuple[str, int, int]], dict[str, str], int]:
    index: list[tuple[str, int, int]] = []
    skipped: dict[str, str] = {}
    size = 0

    def skip(path: str, reason: str) -> None:
        if len(skipped) < SKIPPED_LISTED:
            skipped[os.path.relpath(path, root)] = reason

    for path in _files(root, skip):
        try:
            copied = _copy(path, pack, DIRECTORY_LIMIT - size)
        except OSError as error:
            skip(path, error.strerror or str(error))
            continue
        if copied is None:
            skip(path, "not a regular file")
            continue
        index.append((os.path.relpath(path, root), size, copied))
        size += copied
        if size >= DIRECTORY_LIMIT or len(index) > FILES_LIMIT:
            raise ContextError(
                f"{root} holds more than {FILES_LIMIT:,} files or {DIRECTORY_LIMIT >> 30} GiB; grant a "
                "directory further down, or the files you mean"
            )
    return index, skipped, size


def _files(root: Path, skip: Callable[[str, str], None]) -> Iterator[str]:
    """Paths of the files to grant, in a stable order; what is left out goes to `skip` with its reason."""
    for folder, folders, names in os.walk(root, onerror=lambda error: skip(error.filename, error.strerror or "")):
        for name in sorted(folders):
            if name in LEFT_OUT:
                folders.remove(name)
                skip(os.path.join(folder, name), LEFT_OUT[name])
            elif os.path.islink(os.path.join(folder, name)):
                skip(os.path.join(folder, name), "a symbolic link to a directory")
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):
                skip(path, "a symbolic link that leads outside")
            else:
                yield path


def _copy(path: str, pack: int, room: int) -> int | None:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not os.path.isfile(path):
            return None
        start = done = 0
        while done < min(status.st_size, room):
            sent = os.sendfile(pack, fd, start + done, min(status.st_size, room) - done)
            if sent == 0:
                break
            done += sent
        return done
    finally:
        os.close(fd)


def _unreadable(path: Path, error: OSError) -> ContextError:
    return ContextError(f"{path} cannot be read: {error.strerror or error}")
