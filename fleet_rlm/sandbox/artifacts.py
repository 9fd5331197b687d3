"""Copy the files a cell left under ./artifacts out of the code's reach, hashing on the way.

The guest only hints which files changed. Each is opened by `core.inside`, over no link, must be a regular file, and is
read from that one descriptor, so nothing outside the directory can be smuggled into a run.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath

from fleet_rlm.core import inside
from fleet_rlm.sandbox.base import SandboxFile

MAX_FILES = 200  # per cell
MAX_BYTES = 1 << 30  # per file
PIECE = 1 << 20


def collect(base: Path, source: tuple[str, ...], names: list[str], keep: Path) -> list[SandboxFile]:
    """Copy the named files of `base`/`source`... into `keep` (created if needed).

    `base` and `keep` must be out of the code's reach. Names that do not hold what they promise are left out.
    """
    found: list[SandboxFile] = []
    for name in names[:MAX_FILES]:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or parts[0] == "/":
            continue
        try:
            fd = inside.opened(base, (*source, *parts))
        except OSError:
            continue
        with open(fd, "rb", buffering=0) as file:
            if os.fstat(fd).st_size <= MAX_BYTES:
                found.append(_copied(file.fileno(), name, keep))
    return found


def _copied(fd: int, name: str, keep: Path) -> SandboxFile:
    digest = hashlib.sha256()
    target = keep / name
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with open(target, "wb") as copy:
        while (data := os.read(fd, PIECE)) and size < MAX_BYTES:
            digest.update(data)
            copy.write(data)
            size += len(data)
    return SandboxFile(name, size, digest.hexdigest(), target)
