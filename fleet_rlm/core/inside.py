"""Opening what lies inside a directory, one folder at a time from an open descriptor, and over no link.

A path that was checked may lead elsewhere by the time it is opened: whoever can write in one of its folders may put a
link in their place. Here the system itself refuses a link on the way, at the moment it goes there. The directory
itself may be reached by links, which are whoever's set it up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSED = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # or a pipe put there by somebody would hold us


@contextlib.contextmanager
def folder(base: Path, parts: Sequence[str], *, flags: int = LISTED, make: bool = False) -> Iterator[int]:
    """The descriptor of a folder inside `base`, and of `base` itself where there are no parts.

    Args:
        flags: how the last one is opened; by default so that it can be listed.
        make: make those that are missing.

    Raises:
        OSError: one is missing, a link (ELOOP, ENOTDIR) or no folder.
    """
    if any(part in ("", ".", "..") or "/" in part for part in parts):
        raise OSError(errno.EINVAL, f"{'/'.join(parts)!r} names no place inside a directory")
    fd = os.open(base, (flags if not parts else _PASSED) & ~os.O_NOFOLLOW)
    try:
        for place, part in enumerate(parts, 1):
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=fd)
            below = os.open(part, flags if place == len(parts) else _PASSED, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def opened(base: Path, parts: Sequence[str]) -> int:
    """The descriptor of a regular file inside `base`; whoever asks closes it.

    Raises:
        OSError: there is none, or it is behind a link or one itself.
    """
    with folder(base, parts[:-1], flags=_PASSED) as parent:
        fd = os.open(parts[-1], _READ, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a file")
    return fd
