"""Groups of processes that the kernel limits as a whole (cgroup v2), where a subtree of them was delegated to us.

Delegated means what systemd means by it: the group above ours bears the mark `user.delegate`, may be written by this
user, holds no process itself, and offers the memory and pids controllers. `Delegate=` with `DelegateSubgroup=` in a
unit gives just that. A sandbox and what its code starts are one group, a checkpoint another, so that one outlives the
other. What was charged to a group stays there when a process is moved: a fork pays only for what it touches itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from pathlib import Path

from fleet_rlm.sandbox.limits import Limits

CONTROLLERS = {"memory", "pids"}
MARK = "user.delegate"
TASKS = 4  # the kernel counts threads, `Limits.processes` does not; the watchdog ends who has too many processes
AGAIN_S = 0.01  # until processes that were killed have left their group
_numbers = itertools.count(1)


def delegated() -> Path | None:
    """The group in which this process may make others, or None."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
        own = next(line.removeprefix("0::") for line in groups if line.startswith("0::/"))
        mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
        top = next(fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2" and fields[3] == "/")
        above = Path(top + own).parent
        marked = os.getxattr(above, MARK) == b"1"
        offered = set((above / "cgroup.controllers").read_text().split())
    except (OSError, StopIteration):
        return None
    return above if marked and offered >= CONTROLLERS and os.access(above, os.W_OK) else None


class Subtree:
    """The groups of one template's sandboxes; its warden removes what is left of them."""

    def __init__(self, above: Path) -> None:
        """Raises OSError where the kernel or its administrator objects."""
        self.path = above / f"fleet-{os.getpid()}-{next(_numbers)}"
        wanted = " ".join(f"+{name}" for name in sorted(CONTROLLERS))
        (above / "cgroup.subtree_control").write_text(wanted)
        self.path.mkdir()
        (self.path / "cgroup.subtree_control").write_text(wanted)
        self._names = itertools.count(1)

    def group(self, pid: int, limits: Limits) -> Group:
        """Move a process, and so all it will start, into a group of its own."""
        group = Group(self.path / str(next(self._names)), limits)
        with contextlib.suppress(ProcessLookupError):  # it ended already, which its link will tell
            (group.path / "cgroup.procs").write_text(str(pid))
        return group


class Group:
    """The processes of one sandbox."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self._limits = limits
        path.mkdir()
        if limits.memory is not None:
            self._set("memory.max", limits.memory)
            self._set("memory.oom.group", 1)  # all of it or nothing: half a sandbox would hang
            if (path / "memory.swap.max").exists():
                self._set("memory.swap.max", 0)
        self._set("pids.max", TASKS * limits.processes)

    def _set(self, name: str, value: int) -> None:
        (self.path / name).write_text(str(value))

    def ended_for(self) -> str | None:
        """Why the kernel ended it, as a clause, if it did."""
        events = dict(line.split() for line in (self.path / "memory.events").read_text().splitlines())
        if int(events["oom_kill"]):
            return f"its processes together used more than {(self._limits.memory or 0) >> 20:,} MB"
        return None

    async def remove(self) -> None:
        """End what is left in it, then the group."""
        while True:
            try:
                (self.path / "cgroup.kill").write_text("1")
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:  # busy
                await asyncio.sleep(AGAIN_S)
