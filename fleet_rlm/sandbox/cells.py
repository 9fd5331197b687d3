"""One running cell as the host sees it: its clock, its streamed output, how it is stopped, and its result.

The deadline's clock stands still while the guest waits for host tools. Stopping sends SIGINT, again and again for a
grace period, and then kills the sandbox; whoever waited may leave at once, the stopping goes on without him.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Any, Literal

from fleet_rlm.sandbox.base import CellError, CellResult, OnOutput, SandboxFile
from fleet_rlm.sandbox.channel import Frame
from fleet_rlm.sandbox.link import Link

GRACE_S = 2.0
AGAIN_S = 0.2  # a cell may swallow one interrupt
STREAMED = 1_000_000  # characters


class Cell:
    """From the request to the answer."""

    def __init__(
        self, link: Link, timeout: float | None, on_output: OnOutput | None, refuse_calls: Callable[[], None]
    ) -> None:
        self._link = link
        self._left = timeout
        self.timeout = timeout
        self._on_output = on_output
        self._refuse_calls = refuse_calls
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._answer: asyncio.Future[Frame] | None = None
        self._stopper: asyncio.Task[None] | None = None
        self._heard = 0
        self.timed_out = False
        self.fault: str | None = None  # the limit it exceeded, as a clause
        self.started = self.ended = time.perf_counter()

    @property
    def stopping(self) -> bool:
        """True from the moment the cell is being interrupted until its answer or end."""
        return self._stopper is not None and not self._stopper.done()

    async def run(self, request: dict[str, Any]) -> Frame:
        """Send the request and wait for the answer. Cancelling interrupts the guest and returns at once."""
        answer = self._answer = self._link.ask(request)
        self.pause(False)
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.cancelled():
                self._answer = self._link.still(answer)
                self.stop()
            raise
        finally:
            self.ended = time.perf_counter()
            self._hold()

    def pause(self, paused: bool) -> None:
        """Stop or continue the clock."""
        if paused:
            self._hold()
        elif self._left is not None and self._timer is None and self._stopper is None:
            self._since = time.perf_counter()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, self._left), self._on_deadline)

    def _hold(self) -> None:
        if self._timer is not None and self._left is not None:
            self._timer.cancel()
            self._timer = None
            self._left -= time.perf_counter() - self._since

    def _on_deadline(self) -> None:
        self.timed_out = True
        self.stop(f"it ran for more than {self.timeout:g} s")

    def stop(self, fault: str | None = None) -> None:
        """Interrupt the guest, which is at `fault` or was asked to end; kill it after the grace period."""
        if self._stopper is None and self._answer is not None and not self._answer.done():
            self.fault = fault
            self._hold()
            self._link.interrupt()  # before the calls it may be waiting for are refused: the interrupt is the reason
            self._refuse_calls()
            self._stopper = asyncio.get_running_loop().create_task(self._insist(self._answer))

    async def _insist(self, answer: asyncio.Future[Frame]) -> None:
        for _ in range(round(GRACE_S / AGAIN_S)):
            done, _ = await asyncio.wait({answer}, timeout=AGAIN_S)
            if done:
                answer.exception()  # nobody else may be left to hear it
                return
            self._link.interrupt()
        why = f"a cell was stopped because {self.fault}, and" if self.fault else "a cell was stopped but"
        self._link.kill(f"{why} could not be interrupted (it is probably inside a long call of native code)")
        if answer.done():
            answer.exception()

    async def over(self) -> None:
        """Wait until a stopping cell has ended, one way or the other."""
        if self._stopper is not None:
            await asyncio.shield(self._stopper)

    def when_over(self, then: Callable[[], None]) -> None:
        """Call back when a stopping cell has ended."""
        if self._stopper is not None:
            self._stopper.add_done_callback(lambda _: then())

    def on_chunks(self, chunks: Any) -> None:
        """Streamed output arrived."""
        if self._on_output is None or self.stopping or not isinstance(chunks, list):
            return
        for stream, text in _valid(chunks):
            if self._heard < STREAMED:  # the guest keeps to far less; forged output must not grow a log for ever
                self._heard += len(text)
                self._on_output(stream, text)


def _valid(chunks: Any) -> list[tuple[Literal["stdout", "stderr"], str]]:
    if not isinstance(chunks, list):
        return []
    return [
        (chunk[0], chunk[1])
        for chunk in chunks
        if isinstance(chunk, list)
        and len(chunk) == 2
        and chunk[0] in ("stdout", "stderr")
        and isinstance(chunk[1], str)
    ]


def result_of(header: dict[str, Any], cell: Cell, files: list[SandboxFile]) -> CellResult:
    """The guest's answer, checked field by field: generated code could have forged it."""
    named = header.get("files")
    output = header.get("output")
    output = output if isinstance(output, dict) else {}
    chunks = _valid(output.get("chunks"))
    if isinstance(named, list) and len(named) > len(files):
        lost = f"({len(named) - len(files)} of {len(named)} files in artifacts/ were too many or too large to keep)\n"
        chunks.append(("stderr", lost))
    error = _error(header.get("error"))
    submitted = header.get("submitted")
    if cell.fault is not None and not isinstance(submitted, dict):
        kind = "CellTimeout" if cell.timed_out else "CellOverLimit"
        message = f"the cell was interrupted because {cell.fault}; variables are kept"
        trace = error.traceback.rstrip("\n") + "\n" if error is not None else ""
        error = CellError(kind, message, f"{trace}{kind}: {message}\n")
    value = header.get("value")
    displays, text = header.get("displays"), header.get("text")
    return CellResult(
        stdout="".join(text for stream, text in chunks if stream == "stdout"),
        stderr="".join(text for stream, text in chunks if stream == "stderr"),
        printed="".join(text for _, text in chunks),
        value=value if isinstance(value, str) else None,
        text_value=text if isinstance(text, str) else None,
        error=error,
        submitted=submitted if isinstance(submitted, dict) else None,
        displays=[shown for shown in displays if isinstance(shown, dict)] if isinstance(displays, list) else [],
        artifacts=files,
        duration_s=cell.ended - cell.started,
        truncated=output.get("truncated") is True,
    )


def _error(found: Any) -> CellError | None:
    if not isinstance(found, dict):
        return None
    return CellError(**{field.name: str(found.get(field.name, "")) for field in dataclasses.fields(CellError)})
