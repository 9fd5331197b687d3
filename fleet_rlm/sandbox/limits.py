"""What one sandbox may use, and who enforces it: a number per resource, None for no limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Those per cell start anew with each cell."""

    memory: int | None  # bytes: address space of each process beyond the template's, and what all hold together
    file_size: int | None  # bytes of any one file
    processes: int  # at once
    cpu: float | None  # seconds of processor time of all processes, per cell
    disk: int | None  # bytes of all files in its directory, its children's included

    def guarantee(self, grouped: bool) -> str:
        """What is limited, with the mechanism; `grouped` if the kernel sees to their sums (cgroup)."""
        held = {
            f"memory (RLIMIT_AS, sum by {'cgroup' if grouped else 'watchdog'})": self.memory,
            "file size (RLIMIT_FSIZE)": self.file_size,
            f"processes ({'cgroup, ' if grouped else ''}watchdog)": self.processes,
            "processor time (watchdog)": self.cpu,
            "disk use (watchdog)": self.disk,
        }
        return ", ".join(name for name, limit in held.items() if limit is not None)

    def missing(self, grouped: bool) -> str:
        """What stays open: the watchdog looks ten times a second, at disk use once; a cgroup misses nothing."""
        return "bursts of disk use within a second" if grouped else "bursts past a limit within a second (no cgroup)"
