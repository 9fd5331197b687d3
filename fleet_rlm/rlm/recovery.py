"""What an RLM falls back to when its own code kills its sandbox: the last checkpoint, or a new sandbox with the inputs.

A checkpoint is taken after a cell, while the model thinks, so it costs a run no time; the one before is let go. Where
cells follow each other within milliseconds it is taken less often, and it cannot be had while code leaves threads
running: then the last one stays, and after a death the model is told how many cells are lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from fleet_rlm.sandbox.base import CellResult, Checkpoint, Sandbox
from fleet_rlm.sandbox.errors import SandboxDied, SandboxError

DEATHS = 3
"""Sandboxes one RLM may lose to its own code before it is ended."""

DEATH = "The sandbox ended: "
"""How the model is told of it."""

WORTH = 10
"""Times the cost of a checkpoint that must have passed since the last: at most a tenth of a run is spent on them."""


class Recovery:
    """The last good state of one loop. `reopen` gives a sandbox that holds nothing but the inputs."""

    def __init__(self, reopen: Callable[[], Awaitable[Sandbox]] | None) -> None:
        self._reopen = reopen
        self._deaths = 0
        self._checkpoint: Checkpoint | None = None
        self._age = 0  # cells that ended since it was taken
        self._cost = 0.0  # seconds the last one took
        self._ended = 0.0  # when it was there, by the monotonic clock
        self._keeping: asyncio.Task[None] | None = None

    def keep(self, sandbox: Sandbox, result: CellResult) -> None:
        """A cell has ended: begin to take a checkpoint, if it is worth it; a sandbox full to the brim is not."""
        self._age += 1
        full = result.error is not None and result.error.type == "MemoryError"
        worth = time.monotonic() - self._ended >= WORTH * self._cost
        if sandbox.capabilities.checkpoint and worth and not full:
            self._keeping = asyncio.get_running_loop().create_task(self._keep(sandbox))

    async def _keep(self, sandbox: Sandbox) -> None:
        begin = time.monotonic()
        try:
            taken = await sandbox.acheckpoint()
        except SandboxError:  # threads are alive, or the sandbox is gone, which its next use will tell
            return
        before, self._checkpoint, self._age = self._checkpoint, taken, 0
        if before is not None:
            await before.aclose()
        self._ended = time.monotonic()
        self._cost = self._ended - begin

    async def kept(self) -> None:
        """Wait for the checkpoint that was begun."""
        if self._keeping is not None:
            await self._keeping
            self._keeping = None

    async def replace(self, sandbox: Sandbox, error: SandboxDied) -> tuple[Sandbox, str]:
        """Another sandbox for the one that died, and what the model should know. Raises the error if there is none."""
        self._deaths += 1
        if self._deaths > DEATHS:
            raise error
        ended = f"{DEATH}{error.reason}."
        if self._checkpoint is not None:
            try:
                restored = await sandbox.arestore(self._checkpoint)
            except SandboxError:  # its own code ended the checkpoint too
                self._checkpoint = None
            else:
                return restored, f"{ended} {self._story(restored)}"
        if self._reopen is None:
            raise error
        return await self._reopen(), f"{ended} A new sandbox has your inputs again; what your code had made is lost."

    def _story(self, restored: Sandbox) -> str:
        when = "before this cell" if not self._age else f"before the last {self._age + 1} cells"
        files = "" if restored.files_left is None else f" Files were not copied; read them in {restored.files_left}."
        return f"In a new one your variables are as they were {when}; processes and threads are gone.{files}"

    async def aclose(self) -> None:
        """Leave nothing under way; the checkpoint itself is closed with its sandbox."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
