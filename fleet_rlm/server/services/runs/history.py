"""What is no longer in memory of a run: read from the file its log wrote, and from the store where that is elsewhere.

A log is gap-free and has one line for each event, so the number of an event is the number of its line.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fleet_rlm.core.events import encode
from fleet_rlm.server.services.runs.feed import BATCH_BYTES, Batch

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Scope

MOST = 2_000
"""Events of one reading."""


class History:
    """Reads one run's events in order; keeps its place in the file from one reading to the next.

    Args:
        directory: where the run's log is, or would be.
        scope: the store as the run's owner sees it.
    """

    def __init__(self, run: str, directory: Path, scope: Scope) -> None:
        self._run = run
        self._path = directory / "events.jsonl"
        self._scope = scope
        self._file: IO[bytes] | None = None
        self._at = 0

    async def read(self, since: int, most: int = MOST) -> Batch:
        """Whole lines from `since` on; empty where there is none.

        Raises:
            StoreError: they are not in the file, and the store cannot be used.
        """
        lines = await asyncio.to_thread(self._lines, since, min(most, MOST))
        if not lines and not self._path.exists():
            events = await self._scope.events.asince(self._run, since, min(most, MOST))
            lines = [encode(event) for event in events]
        return Batch(self._run, since, lines)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lines(self, since: int, most: int) -> list[bytes]:
        try:
            if self._file is None or self._at > since:
                self.close()
                self._file, self._at = open(self._path, "rb"), 0
        except FileNotFoundError:
            return []
        lines: list[bytes] = []
        room = BATCH_BYTES
        while len(lines) < most and room > 0:
            start = self._file.tell()
            line = self._file.readline()
            if not line.endswith(b"\n"):  # the end, or what is being written just now
                self._file.seek(start)
                break
            if self._at >= since:
                lines.append(line[:-1])
                room -= len(line)
            self._at += 1
        return lines
