"""One guest process as the host sees it: requests and answers, signals, and how it ended.

Signals go through a pidfd, so they can never hit a process that took over the number.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Any

from fleet_rlm.sandbox.cgroup import Group, Subtree
from fleet_rlm.sandbox.channel import STREAM_ENDED, Channel, Frame
from fleet_rlm.sandbox.errors import SandboxDied
from fleet_rlm.sandbox.guest import wire
from fleet_rlm.sandbox.limits import Limits

BIRTH_S = 20.0  # a fork takes milliseconds; a machine that swaps may need longer
EXIT_NEWS_S = 0.2  # how long after the end of the stream the exit status may take to arrive


class Link:
    """Requests to one guest. `on_message` hears what is neither an answer nor an end; `on_end` hears the reason."""

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[dict[str, Any]], None],
        on_end: Callable[[str], None],
        exit_code: asyncio.Future[int] | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()  # the reason, once the process is gone or given up
        self.greeting: dict[str, Any] = {}  # what it announced itself with
        self.pid = 0
        self._pidfd: int | None = None
        self._on_message = on_message
        self._on_end = on_end
        self._exit_code = exit_code
        self._killed_for: str | None = None
        self._group: Group | None = None
        self._answers: dict[int, asyncio.Future[Frame]] = {}
        self._numbers = itertools.count(1)
        self._channel = Channel(sock, self._on_frame, self._on_stream_end)

    def join(self, groups: Subtree | None, limits: Limits) -> None:
        """Where there are groups, let the kernel hold all its processes together to its limits."""
        if groups is not None:
            self._group = groups.group(self.pid, limits)

    def send(self, header: dict[str, Any], parts: Iterable[wire.Buffer] = (), fds: Iterable[int] = ()) -> None:
        """Write a frame nobody waits for."""
        self._channel.send(header, parts, fds)

    def ask(
        self, header: dict[str, Any], parts: Iterable[wire.Buffer] = (), fds: Iterable[int] = ()
    ) -> asyncio.Future[Frame]:
        """Write a request; the answer, or SandboxDied, arrives in the future."""
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        if self.ended.done():
            answer.set_exception(SandboxDied(self.ended.result()))
            return answer
        number = next(self._numbers)
        self._answers[number] = answer
        self._channel.send({**header, "id": number}, parts, fds)
        return answer

    def still(self, abandoned: asyncio.Future[Frame]) -> asyncio.Future[Frame]:
        """A new future for the answer whose waiter was cancelled."""
        renewed: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        for number, answer in self._answers.items():
            if answer is abandoned:
                self._answers[number] = renewed
                return renewed
        renewed.set_exception(SandboxDied(self.ended.result()))
        renewed.exception()  # nobody else may be left to hear it
        return renewed

    def _on_frame(self, header: dict[str, Any], parts: list[bytes]) -> None:
        kind = header["t"]
        if kind == "res":
            answer = self._answers.pop(header.get("id", 0), None)
            if answer is not None and not answer.done():
                answer.set_result((header, parts))
        elif kind == "ready" and not self.ready.done():
            self.pid = self._channel.peer_pid or 0
            self.greeting = header
            try:
                self._pidfd = os.pidfd_open(self.pid)
            except ProcessLookupError:
                return  # it ended already; the stream's end is on its way
            self.ready.set_result(None)
        elif kind == "failed":
            self.fail(str(header.get("error", {}).get("message", "it could not start")))
        else:
            self._on_message(header)

    def interrupt(self) -> None:
        """SIGINT to the guest."""
        self._signal(signal.SIGINT)

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd is None:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def kill(self, reason: str) -> None:
        """SIGKILL to the guest and its process group; the end is reported with this reason."""
        self._killed_for = self._killed_for or reason
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, 0)
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._signal(signal.SIGKILL)
        self.fail(reason)

    def _on_stream_end(self, reason: str) -> None:
        asyncio.get_running_loop().create_task(self._explain(reason))

    async def _explain(self, reason: str) -> None:
        if self._killed_for is None and self._exit_code is not None and reason == STREAM_ENDED:
            done, _ = await asyncio.wait({self._exit_code}, timeout=EXIT_NEWS_S)
            if done:
                reason = _story(self._exit_code.result())
        if self._killed_for is None and self._group is not None:
            reason = self._group.ended_for() or reason
        self.kill(self._killed_for or reason)

    def fail(self, reason: str) -> None:
        """Treat the guest as gone: every waiter gets SandboxDied."""
        if self.ended.done():
            return
        self.ended.set_result(reason)
        if not self.ready.done():
            self.ready.set_exception(SandboxDied(reason))
            self.ready.exception()  # whoever waits hears it; nobody may be waiting
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(SandboxDied(reason))
        self._answers.clear()
        self._on_end(reason)

    async def close(self) -> None:
        """End the process, with its group, and wait until it is gone."""
        self.kill("it was closed")
        self._channel.close()
        if self._pidfd is None:
            return
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        handle, self._pidfd = self._pidfd, None
        loop.add_reader(handle, _set, gone)
        try:
            await gone
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        if self._group is not None:
            await self._group.remove()


async def born(link: Link) -> None:
    """Wait for a fork to announce itself. Raises SandboxDied."""
    reason = f"it did not start within {BIRTH_S:g} s"
    patience = asyncio.get_running_loop().call_later(BIRTH_S, link.kill, reason)
    try:
        await asyncio.shield(link.ready)
    finally:
        patience.cancel()


def _set(gone: asyncio.Future[None]) -> None:
    if not gone.done():
        gone.set_result(None)


def _story(code: int) -> str:
    if code >= 0:
        return f"its process exited with status {code}"
    name = signal.Signals(-code).name
    hints = {"SIGKILL": ", perhaps because the machine ran out of memory", "SIGSEGV": " (a crash in native code)"}
    return f"its process was ended by {name}{hints.get(name, '')}"
