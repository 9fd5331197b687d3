"""A lease: one process at a time has a session open, and whoever else wants it is told who.

The lock is the system's (`flock`), so it ends with its process however that ends, and no clock is asked. What is
written in the file is for people. It keeps honest kernels apart; that nothing is overwritten is the manifest's work.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any

from fleet_rlm.sessions.errors import SessionInUse


class Lease:
    """Holds the lock of one session from `take` to `release`."""

    def __init__(self, path: Path, session: str) -> None:
        self._path = path
        self._session = session
        self._fd: int | None = None

    def take(self) -> None:
        """Get the lock, or tell who has it.

        Raises:
            SessionInUse: another process, or another object of this one, has the session open.
            OSError: there can be no lock here, as in a home that cannot be written.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(10):  # each round another process has replaced the file in between
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(fd)
                os.close(fd)
                if not _is_dead(holder):
                    raise self._in_use(holder) from None
                # Its process is gone and a process it forked has inherited the lock: begin with a new file.
                self._path.unlink(missing_ok=True)
                continue
            if _is_at(fd, self._path):
                self._fd = fd
                self._sign()
                return
            os.close(fd)
        raise self._in_use({})

    @property
    def is_held(self) -> bool:
        """Whether it is ours, and nobody has replaced the file that says so."""
        return self._fd is not None and _is_at(self._fd, self._path)

    def release(self) -> None:
        """Let go of the lock; doing it twice is harmless."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def _sign(self) -> None:
        assert self._fd is not None
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        told = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(told).encode(), 0)

    def _in_use(self, holder: dict[str, Any]) -> SessionInUse:
        pid, host = int(holder.get("pid", 0)), str(holder.get("host", "this machine"))
        here = (pid, host) == (os.getpid(), socket.gethostname())
        return SessionInUse(self._session, pid, host, str(holder.get("since", "just now")), here=here)


def _holder(fd: int) -> dict[str, Any]:
    try:
        told = json.loads(os.pread(fd, 10_000, 0))
    except ValueError:  # it is being written
        return {}
    return told if isinstance(told, dict) else {}


def _is_dead(holder: dict[str, Any]) -> bool:
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
