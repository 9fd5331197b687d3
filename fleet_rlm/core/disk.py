"""On the disk before it counts: what a state will name survives the machine's end, and so does its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


def settle(file: IO[bytes]) -> None:
    """Return once what was written to an open file is on the disk. Raises OSError."""
    file.flush()
    os.fsync(file.fileno())


def settle_names(folder: Path) -> None:
    """Return once the names in a directory are on the disk. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
