"""Roots: the directories of this machine in which an agent may read, and the check every path passes.

A path is taken to where it really leads, links and `..` resolved, before it is compared. What the kernel only
pretends to be files (/proc, /sys, /dev) is inside no root, and neither is FLEET_HOME: keys and the saved state of
sessions lie there.
"""

from __future__ import annotations

import os
from pathlib import Path

from fleet_rlm.core.errors import ContextError, UserError
from fleet_rlm.core.settings import Settings

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
        self._closed = (*NO_FILES, Settings.from_environ().home.resolve())

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
        except (OSError, RuntimeError) as error:  # a loop of links, a ~user that does not exist
            raise ContextError(f"{text} cannot be read: {error}") from None
        if not self.holds(found):
            raise OutsideRoots(
                f"{text} is outside of {self}; name a file there, or let the user add a root (FLEET_ROOTS)"
            )
        if not found.exists():
            raise ContextError(f"{text} does not exist in {self}; find_files and list_files tell what does")
        return found

    def holds(self, resolved: Path) -> bool:
        """Whether a path whose links are resolved already is inside a root."""
        if any(resolved.is_relative_to(place) for place in self._closed):
            return False
        return any(resolved.is_relative_to(root) for root in self.paths)

    def __str__(self) -> str:
        return f"the root{'s' if len(self.paths) > 1 else ''} {', '.join(map(str, self.paths))}"


def _directory(path: str | os.PathLike[str]) -> Path:
    found = Path(path).expanduser().resolve()
    if not found.is_dir():
        raise UserError(f"the root {os.fspath(path)} is not a directory; FLEET_ROOTS names directories that exist")
    return found
