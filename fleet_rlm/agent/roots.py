"""Roots: the directories of this machine in which an agent may read, and the check every path passes.

A path is taken to where it really leads, links and `..` resolved, before it is compared. What the kernel only
pretends to be files (/proc, /sys, /dev) is inside no root, and neither is FLEET_HOME, where keys and the saved state of
sessions lie, nor what FLEET_CLOSED names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from fleet_rlm.core.errors import ContextError, UserError
from fleet_rlm.core.settings import Settings
from fleet_rlm.sandbox.files import LEFT_OUT

NO_FILES = tuple(map(Path, ("/proc", "/sys", "/dev")))


class OutsideRoots(ContextError):
    """A path leads out of the directories in which files may be read."""


class Roots:
    """Directories that may be read, the current one if none is named.

    Raises:
        UserError: a root is not a directory.
    """

    def __init__(self, *paths: str | os.PathLike[str]) -> None:
        self.paths: tuple[Path, ...] = tuple(_directory(path) for path in (paths or (Path.cwd(),)))
        self._closed = (*NO_FILES, *Settings.from_environ().closed_places)

    def resolve(self, path: str | os.PathLike[str]) -> Path:
        """Where a path leads; a relative one begins at the first root.

        Raises:
            OutsideRoots: it leads out of every root.
            ContextError: there is nothing there.
        """
        text = os.fspath(path)
        if "\0" in text:
            raise ContextError("a path holds no NUL character")
        try:
            found = (self.paths[0] / Path(text).expanduser()).resolve()
        except (OSError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else "a loop of links, or of a user who does not exist"
            raise ContextError(f"{text} cannot be read: {why}") from None
        if not self.holds(found):
            if self._is_below(found):
                raise OutsideRoots(f"{text} is closed: it is the system's (a device or the like), or fleet-rlm's own")
            raise OutsideRoots(
                f"{text} is outside of {self}; name a file there, or let the user add a root (FLEET_ROOTS)"
            )
        try:
            found.lstat()
        except OSError as error:
            told = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise ContextError(f"{text} {told} in {self}; list_files tells what does") from None
        return found

    def files(
        self, top: Path, skip: Callable[[str, str], object] = lambda path, reason: None
    ) -> Iterator[tuple[Path, Path]]:
        """Files below a resolved directory, in a stable order, each with where it really is, which is what was checked
        and is to be opened; a link to a file inside the roots is a file of its own.

        Version control data, caches and installed packages are left out, and so is what leads out of the roots.

        Args:
            skip: is told what is left out, by path relative to `top`, and why.
        """
        for place, folders, names in os.walk(top, onerror=lambda error: skip(_below(error.filename, top), str(error))):
            for name in sorted(folders):
                path = Path(place, name)
                if name in LEFT_OUT or path.is_symlink() or not self.holds(path):
                    folders.remove(name)
                    skip(_below(path, top), LEFT_OUT.get(name, "a symbolic link to a directory, or closed to agents"))
            folders.sort()
            for name in sorted(names):
                path = Path(place, name)
                try:
                    found = Path(os.path.realpath(path))
                except OSError as error:  # it became something else while it was looked at
                    skip(_below(path, top), str(error.strerror))
                    continue
                if self.holds(found):
                    yield path, found
                else:
                    skip(_below(path, top), "a symbolic link that leads out of the roots")

    def holds(self, resolved: Path) -> bool:
        """Whether a path whose links are resolved already is inside a root."""
        return self._is_below(resolved) and not any(resolved.is_relative_to(place) for place in self._closed)

    def _is_below(self, resolved: Path) -> bool:
        return any(resolved.is_relative_to(root) for root in self.paths)

    def __str__(self) -> str:
        """The roots by name: where they lie on the machine is not for a model, nor for a user far away."""
        names = ", ".join(path.name or str(path) for path in self.paths)
        return f"the root{'s' if len(self.paths) > 1 else ''} {names}"


def _below(path: str | Path, top: Path) -> str:
    return os.path.relpath(path, top)


def _directory(path: str | os.PathLike[str]) -> Path:
    found = Path(path).expanduser().resolve()
    if not found.is_dir():
        raise UserError(f"the root {os.fspath(path)} is not a directory; FLEET_ROOTS names directories that exist")
    return found
