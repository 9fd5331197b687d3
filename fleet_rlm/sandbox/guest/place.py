"""Where a sandbox may write and what it may read: its directory, laid out and closed behind it.

`work/` is the current directory, `work/artifacts/` what the user gets to see, `tmp/` for temporary files, `sub/` for
children; the directory itself is HOME. A child lies inside its parent's place, because confinement only ever narrows.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from typing import Any

from . import lockdown

COPIED_BYTES = 64 << 20  # about 50 ms; beyond, a restored sandbox reads its predecessor's files where they are
COPIED_FILES = 5_000
TICK_NS = 20_000_000  # two changes of a directory this far apart have different times


class Place:
    """Plain data until entered; inherited by forks."""

    def __init__(self, directory: str, config: dict[str, Any], read: tuple[str, ...]) -> None:
        self.directory = directory
        self.work = os.path.join(directory, "work")
        self.artifacts = os.path.join(self.work, "artifacts")
        self.config = config  # confined, namespaces: bool; abi: int
        self.read = read
        self.files: str | None = None  # the directory whose files were too many to be copied here
        self._empty_at = -1  # the time of change with which `artifacts` was last found without entries

    def below(self, name: str) -> Place:
        """A child's place inside this one; it may read this one's work directory."""
        return Place(os.path.join(self.directory, "sub", name), self.config, (*self.read, self.work))

    def enter(self, files: str | None = None) -> None:
        """Create the directories, move in, and give up everything outside. Raises lockdown.Refused.

        The `files` of a directory are copied to `work/` if they are not too many; otherwise `self.files` names it.
        """
        temporary = os.path.join(self.directory, "tmp")
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(self.directory), mode=0o700)  # `sub/`, for the first child
        for path in (self.directory, self.work, self.artifacts, temporary):
            os.mkdir(path, mode=0o700)
        if files is not None and not _copied(files, self.work):
            self.files = files
        os.environ.update(HOME=self.directory, TMPDIR=temporary, MPLCONFIGDIR=temporary)
        tempfile.tempdir = None
        os.chdir(self.work)
        if self.config["confined"]:
            lockdown.narrow(self.directory, self.read, namespaces=self.config["namespaces"], abi=self.config["abi"])

    def changed(self, seen: dict[str, tuple[int, int]]) -> list[str]:
        """Artifacts written since the last time, as relative paths; `seen` is brought up to date."""
        try:
            stamp = os.stat(self.artifacts).st_mtime_ns
        except OSError:  # the cell removed or locked its own directory: nothing to hand over
            return []
        if stamp == self._empty_at:
            return []
        found, entries = list[str](), 0
        pending = [self.artifacts]
        while pending:
            try:
                for entry in os.scandir(pending.pop()):
                    entries += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        written = (status.st_mtime_ns, status.st_size)
                        if seen.get(entry.path) != written:
                            seen[entry.path] = written
                            found.append(os.path.relpath(entry.path, self.artifacts))
            except OSError:
                continue
        self._empty_at = stamp if not entries and time.time_ns() - stamp > TICK_NS else -1
        return sorted(found)


def _copied(source: str, target: str) -> bool:
    """Copy a directory's files, links and folders, unless they are many or may not be read."""
    bytes_left, files_left = COPIED_BYTES, COPIED_FILES
    for folder, _, names in os.walk(source):
        for name in names:
            bytes_left -= os.lstat(os.path.join(folder, name)).st_size
            files_left -= 1
            if bytes_left < 0 or files_left < 0:
                return False
    try:
        shutil.copytree(source, target, symlinks=True, ignore=_special, dirs_exist_ok=True)
    except OSError:
        return False
    return True


def _special(folder: str, names: list[str]) -> list[str]:
    """Pipes, sockets and devices, which cannot be copied."""
    modes = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return [n for n, mode in modes.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))]


def keep_modes() -> None:
    """Let os.chmod and os.utime do nothing, so that shutil.copy and archives work where the filter refuses them.

    Accepted cost: a cell cannot change modes or times of its own files either.
    """

    def unchanged(path: Any, *_args: Any, follow_symlinks: bool = True, **_kwargs: Any) -> None:
        if not isinstance(path, int):
            os.stat(path, follow_symlinks=follow_symlinks)  # a missing file stays an error

    for replaced in (os.chmod, os.utime):
        for support in (os.supports_follow_symlinks, os.supports_fd, os.supports_dir_fd):
            if replaced in support:
                support.add(unchanged)
    os.chmod = os.utime = unchanged
    if hasattr(os, "setxattr"):
        os.setxattr = unchanged
