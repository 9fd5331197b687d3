"""How local sandboxes come from one another: forked, spawned, kept as a checkpoint, restored.

A fork costs milliseconds and keeps everything. Where threads of the code are alive it would keep their locks but not
the threads, so a fresh sandbox is spawned and sent what can be pickled, through a memory file the host never reads.
Threads of native libraries cannot be seen; numpy's and Arrow's pools are off or survive forks, others may not.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

from fleet_rlm.sandbox.base import Checkpoint
from fleet_rlm.sandbox.errors import CheckpointLost, SandboxDied, SandboxError, ThreadsAlive
from fleet_rlm.sandbox.link import BIRTH_S, Link, born
from fleet_rlm.sandbox.values import Sent

if TYPE_CHECKING:
    from fleet_rlm.sandbox.local import LocalSandbox

MOVE_S = 60.0  # pickling runs the values' own code


class LocalCheckpoint(Checkpoint):
    """A sleeping fork. Its memory is the sandbox's own until either changes a page (copy-on-write)."""

    def __init__(self, source: LocalSandbox, keeper: Link) -> None:
        self._source = source
        self._keeper = keeper
        self._sent = source._sent.inherited()
        self._registered = dict(source._registered)
        self._closed = False

    @property
    def pid(self) -> int:
        """The process that sleeps."""
        return self._keeper.pid

    async def aclose(self) -> None:
        """End the process."""
        if self._closed:
            return
        self._closed = True
        self._source._checkpoints.discard(self)
        await self._keeper.close()
        if self._source._template is not None:
            self._source._template.sandbox_pids.discard(self.pid)

    async def restored(self) -> LocalSandbox:
        """See `Sandbox.arestore`."""
        if self._closed or self._keeper.ended.done():
            raise CheckpointLost(f"the checkpoint of {self._source.name} does not exist any more")
        number, heir = _copy(self._source, self._sent, self._registered)
        link, theirs = _link(heir)
        self._keeper.send({"t": "restore", "dir": str(number)}, fds=[theirs.detach()])
        try:
            news: set[asyncio.Future[Any]] = {link.ready, self._keeper.ended}
            await asyncio.wait(news, timeout=BIRTH_S, return_when=asyncio.FIRST_COMPLETED)
            if not link.ready.done():
                raise CheckpointLost(f"the checkpoint of {self._source.name} does not exist any more")
            await born(link)
        except BaseException:
            await _stillborn(heir)
            raise
        _adopted(heir, self._source, str(number))
        if link.greeting.get("files") is not None:
            heir.files_left = self._source.workdir
        return heir


async def checkpoint(source: LocalSandbox) -> LocalCheckpoint:
    """See `Sandbox.acheckpoint`."""
    guest = await source._idle()
    assert source._template is not None
    ours, theirs = socket.socketpair()
    keeper = Link(ours, _hear_nothing, _hear_nothing, None)
    try:
        async with source._template.forking:
            with source._template.expecting():
                threads = await _divide(guest, keeper, {"t": "checkpoint"}, theirs)
                if threads:
                    raise ThreadsAlive(source.name, threads)
                source._template.sandbox_pids.add(keeper.pid)
                keeper.join(source._template.groups, source.limits)
    except BaseException:
        await keeper.close()
        raise
    kept = LocalCheckpoint(source, keeper)
    source._checkpoints.add(kept)
    return kept


async def fork(parent: LocalSandbox, workdir_name: str | None) -> LocalSandbox:
    """See `Sandbox.afork`."""
    guest = await parent._idle()
    if workdir_name is not None and not workdir_name.replace("-", "_").replace("_", "a").isalnum():
        raise ValueError(f"workdir_name may hold letters, digits, - and _ only, not {workdir_name!r}")
    number, child = _copy(parent, parent._sent, parent._registered)
    link, theirs = _link(child)
    directory = workdir_name or str(number)
    assert parent._template is not None
    with parent._template.expecting():
        try:
            threads = await _divide(guest, link, {"t": "fork", "dir": directory}, theirs)
        except BaseException:
            await _stillborn(child)
            raise
        if not threads:
            _adopted(child, parent, directory)
            return child
        await _stillborn(child)
    return await spawn(parent)


async def fork_in_call(parent: LocalSandbox, unborn: dict[int, Link], call: int, item: int) -> LocalSandbox:
    """A fork in the thread of the guest that waits for this call; `unborn` tells whom a failure concerns."""
    if parent._link is None or parent._template is None:
        raise SandboxError(f"{parent.name} has not started")
    number, child = _copy(parent, parent._sent, parent._registered)
    link, theirs = _link(child)
    unborn[number] = link
    request = {"t": "fork", "id": number, "dir": str(number), "call": call, "item": item}
    parent._link.send(request, fds=[theirs.detach()])
    with parent._template.expecting():
        try:
            await born(link)
        except BaseException:
            await _stillborn(child)
            raise
        finally:
            del unborn[number]
        _adopted(child, parent, str(number))
    return child


async def spawn(parent: LocalSandbox) -> LocalSandbox:
    """A fresh sandbox with those of the parent's variables that can be pickled, and none of its files."""
    guest = await parent._idle()
    _, child = parent._descendant()
    try:
        await child.astart()
        assert child._link is not None
        memory = os.memfd_create("namespace")
        try:
            found = await _moved(guest, {"t": "dump"}, os.dup(memory))
            await _moved(child._link, {"t": "load"}, os.dup(memory))
        finally:
            os.close(memory)
        for name, slot in found["bound"].items():
            await child.aput(name, parent._sent.value(slot))
        child.dropped = tuple(map(str, found["dropped"]))
    except BaseException:
        await child.aclose()
        raise
    return child


def _copy(parent: LocalSandbox, sent: Sent, registered: dict[str, str]) -> tuple[int, LocalSandbox]:
    number, child = parent._descendant()
    child.started_by = "fork"
    child._sent, child._registered = sent.inherited(), dict(registered)
    return number, child


def _link(child: LocalSandbox) -> tuple[Link, socket.socket]:
    ours, theirs = socket.socketpair()
    child._link = Link(ours, child._on_message, child._on_end, None)
    return child._link, theirs


def _adopted(child: LocalSandbox, parent: LocalSandbox, directory: str) -> None:
    assert child._link is not None
    assert parent._template is not None
    child._adopt(child._link, parent._template, (*parent.place, "sub", directory))


async def _stillborn(child: LocalSandbox) -> None:
    if child._parent is not None:
        child._parent._children.discard(child)
    if child._link is not None:
        await child._link.close()


async def _divide(guest: Link, born_link: Link, request: dict[str, Any], theirs: socket.socket) -> tuple[str, ...]:
    """Ask a guest to fork. Returns the threads that forbid it, if any; otherwise the fork has announced itself."""
    header, _ = await guest.ask(request, fds=[theirs.detach()])
    threads = header.get("threads")
    if isinstance(threads, list) and threads:
        return tuple(map(str, threads))
    if header.get("error"):
        raise SandboxDied(f"the fork failed: {header['error']}")
    await born(born_link)
    return ()


async def _moved(guest: Link, request: dict[str, Any], fd: int) -> dict[str, Any]:
    answer = guest.ask(request, fds=[fd])
    done, _ = await asyncio.wait({answer}, timeout=MOVE_S)
    if not done:
        guest.kill(f"its variables could not be copied within {MOVE_S:g} s")
    header, _ = await answer
    if error := header.get("error"):
        raise SandboxError(f"the variables could not be sent to a new sandbox: {error['type']}: {error['message']}")
    return header


def _hear_nothing(_news: Any) -> None:
    """A checkpoint has nothing to say; its end is asked for when it is needed."""
