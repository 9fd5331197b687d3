"""Notice a sandbox that starts too many processes or takes too much memory, and end it with the reason.

The kernel offers a push for neither to unprivileged programs (RLIMIT_NPROC counts all of a user's processes and does
not bind root; a delegated cgroup is rare), so the tree below each sandbox is counted ten times a second while cells
run, once a second otherwise. Nothing runs while there is no sandbox.
"""

from __future__ import annotations

import asyncio
import mmap
from typing import TYPE_CHECKING

from fleet_rlm.sandbox.link import Link
from fleet_rlm.sandbox.template import Template, child_pids, kill

if TYPE_CHECKING:
    from fleet_rlm.sandbox.local import LocalSandbox

BUSY_S = 0.1
IDLE_S = 1.0
PAGE = mmap.PAGESIZE
_watched: dict[Link, tuple[LocalSandbox, Template]] = {}
_tasks: set[asyncio.Task[None]] = set()


def watch(sandbox: LocalSandbox, link: Link, template: Template) -> None:
    """Watch a sandbox until its process ends."""
    _watched[link] = (sandbox, template)
    link.ended.add_done_callback(lambda _: _watched.pop(link, None))
    if not _tasks:
        task = asyncio.get_running_loop().create_task(_patrol())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


async def _patrol() -> None:
    while _watched:
        busy = any(sandbox.busy for sandbox, _ in _watched.values())
        await asyncio.sleep(BUSY_S if busy else IDLE_S)
        guests = {link.pid for link in _watched}
        for link, (sandbox, _) in list(_watched.items()):
            pids = _tree(link.pid, guests, sandbox.max_processes)
            if len(pids) > sandbox.max_processes:
                _end(link, pids, f"its code started more than {sandbox.max_processes} processes")
            elif len(pids) > 1 and _over(sandbox.limits.memory, pids):
                _end(link, pids, f"its processes together used more than {(sandbox.limits.memory or 0) >> 20:,} MB")
        for template in {template for _, template in _watched.values()}:
            if set(template.children()) - template.sandbox_pids:
                await template.end_strays()


def _tree(pid: int, guests: set[int], limit: int) -> list[int]:
    """The process and its descendants, without those of other sandboxes; stops a little beyond the limit."""
    found = [pid]
    for one in found:
        found += [child for child in child_pids(one) if child not in guests]
        if len(found) > 4 * limit:
            break
    return found


def _end(link: Link, pids: list[int], reason: str) -> None:
    link.kill(reason)
    for pid in pids:
        kill(pid)


def _over(limit: int | None, pids: list[int]) -> bool:
    """True if the processes together hold more; one alone is bounded by its own address space."""
    return limit is not None and _resident(pids) > limit and _proportional(pids) > limit


def _resident(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm") as file:
                total += int(file.read().split()[1]) * PAGE
        except OSError:
            continue  # ended meanwhile
    return total


def _proportional(pids: list[int]) -> int:
    """Bytes with shared pages divided among their owners; slower, so asked only when the plain sum looks too high."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
        except OSError:
            continue
    return total
