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
from fleet_rlm.core.settings import Settings
from fleet_rlm.sandbox.guest.files import BINARY_PROBE, NotText, decoded, is_binary

DIRECTORY_LIMIT = 2 << 30  # bytes; the pack lives in memory
FILES_LIMIT = 200_000
SKIPPED_LISTED = 1_000
NOT_A_FILE = "not a regular file"
CLOSED = "closed to agents"
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
        """Head, descriptor and size. Raises ContextError if it cannot be read or is not a file of text."""
        try:
            fd, size = _open(self.path)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if not _is_text(fd):
            os.close(fd)
            raise ContextError(
                f"{self.path} is a binary file, not text; read it yourself (for instance with pandas) and pass "
                "the value, or pass its bytes"
            )
        return {"k": "file", "fd": 0, "name": self.path.name}, fd, size

    def text(self) -> str:
        """All of it, decoded as in the guest. Raises ContextError as `opened` does."""
        _, fd, _ = self.opened()
        return _text(fd, self.path)

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
    """One directory tree, as its regular files. Symbolic links are followed to files inside it only, and such a link is
    a file of its own; version control data, caches and installed packages are left out, what cannot be read too, and
    what is closed to agents (`Settings.closed_places`), and listed in the guest's `.skipped`. Paths are the real names,
    whatever characters they hold."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def packed(self) -> tuple[dict[str, Any], int, int]:
        """Head, descriptor of the pack and its size. Takes as long as reading the tree.

        Raises:
            ContextError: if the directory cannot be read or holds too much.
        """
        root = self._root()
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
        """Relative path to size in bytes of the text files, of which only the beginnings are read.

        Raises:
            ContextError: as `packed`.
        """
        return {path: size for path, fd, size in _opened(self._root(), _forget) if _is_text(fd)}

    def texts(self) -> dict[str, str]:
        """Relative path to text of the same files, decoded as in the guest; look at `file_sizes` before.

        Raises:
            ContextError: as `packed`, or a file cannot be read any more.
        """
        root = self._root()
        return {path: _text(os.dup(fd), root / path) for path, fd, _ in _opened(root, _forget) if _is_text(fd)}

    def _root(self) -> Path:
        try:
            root = self.path.resolve(strict=True)
            os.listdir(root)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        return root

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
    start = 0

    def skip(path: str, reason: str) -> None:
        if len(skipped) < SKIPPED_LISTED:
            skipped[os.path.relpath(path, root)] = reason

    for path, fd, size in _opened(root, skip):
        try:
            copied = _copy(fd, pack, size)
        except OSError as error:
            skip(os.path.join(root, path), _reason(error))
            os.ftruncate(pack, start)
            os.lseek(pack, start, os.SEEK_SET)
            continue
        index.append((path, start, copied))
        start += copied
    return index, skipped, start


def _opened(root: Path, skip: Callable[[str, str], None]) -> Iterator[tuple[str, int, int]]:
    """Relative path, descriptor and size of every file to grant; the descriptor is closed when the next one is due."""
    files = total = 0
    for path in _files(root, skip):
        try:
            fd, size = _open(path)
        except OSError as error:
            skip(path, _reason(error))
            continue
        try:
            files, total = files + 1, total + size
            if total >= DIRECTORY_LIMIT or files > FILES_LIMIT:
                raise ContextError(
                    f"{root} holds more than {FILES_LIMIT:,} files or {DIRECTORY_LIMIT >> 30} GiB; grant a "
                    "directory further down, or the files you mean"
                )
            yield os.path.relpath(path, root), fd, size
        finally:
            os.close(fd)


def _files(root: Path, skip: Callable[[str, str], None]) -> Iterator[str]:
    """Paths of the files to grant, in a stable order; what is left out goes to `skip` with its reason."""
    closed = [place for place in Settings.from_environ().closed_places if root in place.parents]

    def is_closed(path: str) -> bool:
        return bool(closed) and any(Path(os.path.realpath(path)).is_relative_to(place) for place in closed)

    for folder, folders, names in os.walk(root, onerror=lambda error: skip(error.filename, error.strerror or "")):
        for name in sorted(folders):
            if name in LEFT_OUT:
                folders.remove(name)
                skip(os.path.join(folder, name), LEFT_OUT[name])
            elif os.path.islink(os.path.join(folder, name)):
                skip(os.path.join(folder, name), "a symbolic link to a directory")
            elif is_closed(os.path.join(folder, name)):
                folders.remove(name)
                skip(os.path.join(folder, name), CLOSED)
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):
                skip(path, "a symbolic link that leads outside")
            elif is_closed(path):
                skip(path, CLOSED)
            else:
                yield path


def _open(path: str | Path) -> tuple[int, int]:
    """Descriptor and size of a regular file.

    Looked at before it is opened, because opening a pipe or a device may wait, or wake whoever is at its other end; and
    after, because it may have been replaced in between.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    _check_regular(os.stat(path))
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        _check_regular(status)
    except OSError:
        os.close(fd)
        raise
    return fd, status.st_size


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(NOT_A_FILE)


def _is_text(fd: int) -> bool:
    try:
        return not is_binary(memoryview(os.pread(fd, BINARY_PROBE, 0)))
    except OSError:  # of a failing disk: the guest has it among the skipped
        return False


def _text(fd: int, path: Path) -> str:
    try:
        with open(fd, "rb") as file:
            return decoded(memoryview(file.read()), str(path))
    except OSError as error:
        raise _unreadable(path, error) from None
    except NotText as error:  # written anew since it was looked at
        raise ContextError(str(error)) from None


def _copy(fd: int, pack: int, size: int) -> int:
    done = 0
    while done < size and (sent := os.sendfile(pack, fd, done, size - done)):
        done += sent
    return done


def _forget(path: str, reason: str) -> None:
    """What is left out is told by the guest."""


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _unreadable(path: Path, error: OSError) -> ContextError:
    return ContextError(f"{path} cannot be read: {_reason(error)}")
