"""How much memory processes hold, from the kernel's own books."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

EVERY_S = 0.005


def proportional(pids: Iterable[int]) -> int:
    """Bytes of these processes, with shared pages divided among their owners (PSS)."""
    return sum(_kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") for pid in pids)


class HostPeak:
    """The most memory this process held in a block, beyond what it held at its start: `bytes`.

    Memory files that it has open count too; their peak is sampled, that of the process is the kernel's high-water mark.
    """

    def __enter__(self) -> Self:
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        self._start = _kilobytes(Path("/proc/self/status"), "VmRSS")
        self._files = 0
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._sampler.join()
        self.bytes = _kilobytes(Path("/proc/self/status"), "VmHWM") - self._start + self._files

    def _sample(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._files = max(self._files, _memory_files())


def _memory_files() -> int:
    total = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("/memfd:"):
                total += os.stat(f"/proc/self/fd/{name}").st_blocks * 512
        except OSError:
            continue  # closed meanwhile
    return total


def _kilobytes(path: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    return int(found[1]) << 10 if found else 0
