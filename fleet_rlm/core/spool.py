"""The file a run's log is written to: whole lines, appended by one process at a time.

The lock ends with the process that holds it, however it ends and whatever it forked; a line that was cut in mid-write
is taken off before the next one is written.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from fleet_rlm.core.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: no lock, and none of our sandboxes either
    fcntl = None  # type: ignore[assignment]


class Spool:
    """An open log file, private to its user.

    Raises:
        UserError: another process writes it.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if fcntl is not None:
            self._lock()
        _open.add(self)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise UserError(f"run {self.path.parent.name} is still going on; stop it where it was started") from None
        except OSError:  # a file system that has no locks
            pass

    def cut_to_whole_lines(self) -> None:
        """Take a last line without its end off the file."""
        with open(self.path, "rb") as file:
            size = whole = file.seek(0, os.SEEK_END)
            while whole:
                step = min(whole, 65_536)
                file.seek(whole - step)
                at = file.read(step).rfind(b"\n")
                if at >= 0:
                    whole += at + 1 - step
                    break
                whole -= step
        if whole != size:
            os.ftruncate(self._fd, whole)

    def write(self, line: bytes) -> None:
        """Append one line and its end, whole."""
        rest = line + b"\n"
        while (written := os.write(self._fd, rest)) < len(rest):
            rest = rest[written:]

    def close(self) -> None:
        """Let go of file and lock."""
        _open.discard(self)
        os.close(self._fd)


_open: weakref.WeakSet[Spool] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """A process that was forked off and outlives its parent would hold the lock, and must not write the log."""
    for spool in list(_open):
        spool.close()
        spool._fd = -1


if fcntl is not None:
    os.register_at_fork(after_in_child=_leave_to_parent)
