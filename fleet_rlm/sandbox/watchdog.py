"""Notice a sandbox that uses more than it may, and interrupt its cell or end it, with the reason.

The kernel offers a push for none of this to unprivileged programs (RLIMIT_NPROC counts all of a user's processes and
does not bind root, RLIMIT_CPU counts one process and only ever kills; a delegated cgroup is rare), so the tree below
each sandbox is looked at ten times a second while cells run, once a second otherwise. Too many processes or too much
memory end the sandbox; too much processor time or disk only the cell, whose variables are kept. Nothing runs while
there is no sandbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_rlm.sandbox import usage
from fleet_rlm.sandbox.cells import Cell
from fleet_rlm.sandbox.link import Link
from fleet_rlm.sandbox.template import Template, kill

if TYPE_CHECKING:
    from fleet_rlm.sandbox.local import LocalSandbox

BUSY_S = 0.1
IDLE_S = 1.0
DISK_S = 1.0  # between two looks at a directory, or longer where looking takes long


@dataclass
class _Watched:
    sandbox: LocalSandbox
    template: Template
    cell: Cell | None = None  # the one whose use is being counted
    cpu_before: float = 0.0
    disk_before: int | None = None  # at its first look
    disk_now: int = 0
    look_at_disk: float = 0.0  # when, by the monotonic clock


_watched: dict[Link, _Watched] = {}
_tasks: set[asyncio.Task[None]] = set()


def watch(sandbox: LocalSandbox, link: Link, template: Template) -> None:
    """Watch a sandbox until its process ends."""
    _watched[link] = _Watched(sandbox, template)
    link.ended.add_done_callback(lambda _: _watched.pop(link, None))
    if not _tasks:
        _start(_patrol())


def _start(work: Coroutine[None, None, None]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _patrol() -> None:
    while _watched:
        busy = any(one.sandbox.cell for one in _watched.values())
        await asyncio.sleep(BUSY_S if busy else IDLE_S)
        for link, one in list(_watched.items()):
            limits = one.sandbox.limits
            pids = usage.tree(link.pid, one.template.sandbox_pids, limits.processes)
            if len(pids) > limits.processes + one.template.unnamed:
                _end(link, pids, f"its code started more than {limits.processes} processes")
            elif len(pids) > 1 and _over(limits.memory, pids):
                _end(link, pids, f"its processes together used more than {(limits.memory or 0) >> 20:,} MB")
            elif one.sandbox.cell is not None:
                _check_cell(one, one.sandbox.cell, pids)
        for template in {one.template for one in _watched.values()}:
            if set(template.children()) - template.sandbox_pids:
                await template.end_strays()


def _check_cell(one: _Watched, cell: Cell, pids: list[int]) -> None:
    """Interrupt a cell that used too much. What lay on disk before it is not held against it: it may be tidying up."""
    limits = one.sandbox.limits
    used = usage.processor_seconds(pids)
    if cell is not one.cell:
        one.cell, one.cpu_before, one.disk_before, one.look_at_disk = cell, used, None, 0.0
    if limits.cpu is not None and used - one.cpu_before > limits.cpu:
        cell.stop(f"it used more than {limits.cpu:g} s of processor time")
    elif limits.disk is None:
        return
    elif one.disk_before is not None and one.disk_now > max(limits.disk, one.disk_before):
        cell.stop(f"its files take more than {limits.disk >> 20:,} MB, delete what is not needed")
    elif time.monotonic() >= one.look_at_disk:
        one.look_at_disk = float("inf")
        _start(_measure(one, cell))


async def _measure(one: _Watched, cell: Cell) -> None:
    begin = time.monotonic()
    used = await asyncio.to_thread(usage.disk_bytes, one.template.root, one.sandbox.place)
    end = time.monotonic()
    if one.cell is cell:
        one.disk_now = used
        one.disk_before = used if one.disk_before is None else one.disk_before
        one.look_at_disk = end + max(DISK_S, 9 * (end - begin))


def _end(link: Link, pids: list[int], reason: str) -> None:
    link.kill(reason)
    for pid in pids:
        kill(pid)


def _over(limit: int | None, pids: list[int]) -> bool:
    """True if the processes together hold more; one alone is bounded by its own address space."""
    return limit is not None and usage.resident(pids) > limit and usage.proportional(pids) > limit
