"""What processes and directories use right now, from /proc and the file system; what is gone by now counts nothing."""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection
from pathlib import Path

from fleet_rlm.core import inside
from fleet_rlm.sandbox.template import child_pids

PAGE = mmap.PAGESIZE
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
BLOCK = 4096  # an empty file takes room too


def tree(pid: int, others: Collection[int], limit: int) -> list[int]:
    """The process and its descendants, without those of other sandboxes; stops a little beyond the limit."""
    found = [pid]
    for one in found:
        found += [child for child in child_pids(one) if child not in others]
        if len(found) > 4 * limit:
            break
    return found


def resident(pids: list[int]) -> int:
    """Bytes in memory, with shared pages counted once per process."""
    return sum(int((_read(pid, "statm") or "0 0").split()[1]) * PAGE for pid in pids)


def proportional(pids: list[int]) -> int:
    """Bytes in memory with shared pages divided among their owners; slower."""
    lines = (line for pid in pids for line in _read(pid, "smaps_rollup").splitlines())
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def processor_seconds(pids: list[int]) -> float:
    """Time on processors, of the processes and of children they waited for."""
    ticks = 0
    for pid in pids:
        fields = _read(pid, "stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / TICK


def disk_bytes(root: Path, parts: tuple[str, ...]) -> int:
    """Room taken by the files below `root`/`parts`..., following no link; unreadable folders count nothing."""
    total = 0
    try:
        with inside.folder(root, parts) as folder:
            for _, _, names, fd in os.fwalk(".", dir_fd=folder):
                for name in names:
                    total += max(BLOCK, 512 * os.stat(name, dir_fd=fd, follow_symlinks=False).st_blocks)
    except (OSError, RecursionError):  # the code moves its folders about: the next look will tell
        return total
    return total


def _read(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}") as file:
            return file.read()
    except OSError:
        return ""
