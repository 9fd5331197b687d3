"""The kernel's end of the line: takes the server's requests and sends what there is to tell.

Requests arrive on the control thread, which must not be kept: it only hands them over to the background loop. So a
request is answered while a cell runs, even one that blocks. What is asked is done by `hosting`. What is told leaves on
the control thread too, whose the socket is.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import zmq
from jupyter_client.session import DELIM

from fleet_rlm import __version__
from fleet_rlm.core.errors import FleetError, ModelError, UserError
from fleet_rlm.core.loop import submit
from fleet_rlm.server import wire

if TYPE_CHECKING:
    from ipykernel.kernelbase import Kernel
    from jupyter_client.session import Session

    from fleet_rlm.server.kernel.hosting import Hosting

HEARTBEAT_S = 2.0
"""Seconds between signs of life while something goes on: so long a lost last event is not missed. The server names less
where kernels are culled sooner."""

logger = logging.getLogger("fleet_rlm")


class Conflict(UserError):
    """What was asked does not fit the state things are in."""


class Station:
    """Answers the server over the messages of `server.wire`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._hosting: Hosting | None = None
        self._loading = asyncio.Lock()
        self._beat: asyncio.Task[None] | None = None
        self._under_way = 0
        self._stream: Any = None
        self._asker: list[bytes] = []
        self._heartbeat_s = HEARTBEAT_S

    def received(self, stream: Any, ident: list[bytes], message: dict[str, Any]) -> None:
        """Take one request; called on the control thread. Whoever asked last is told what runs have to tell."""
        self._stream, self._asker = stream, ident
        submit(self._answer(message["content"], ident))

    async def _answer(self, content: dict[str, Any], asker: list[bytes]) -> None:
        told: dict[str, Any] = {"id": content["id"]}
        self._under_way += 1
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._live())
        try:
            told["result"] = await self._done(content["verb"], content["args"])
        except FleetError as error:
            told |= {"fault": _fault(error), "message": str(error)}
        except Exception as error:  # a fault of ours must be told, or the server would wait for an answer
            logger.exception("the request %r failed", content["verb"])
            told |= {"fault": "failed", "message": f"{type(error).__name__}: {error}"}
        finally:
            self._under_way -= 1
        self._send(wire.ANSWER, told, asker)

    async def _done(self, verb: str, args: dict[str, Any]) -> Any:
        if verb == "hello":
            self._heartbeat_s = args["heartbeat_s"]
            submit(self._hosted())  # the seconds of importing dspy pass before the first question
            return {"version": __version__, "wire": wire.VERSION, "pid": os.getpid()}
        return await (await self._hosted()).do(verb, args)

    async def _hosted(self) -> Hosting:
        async with self._loading:
            if self._hosting is None:
                module = await asyncio.to_thread(importlib.import_module, "fleet_rlm.server.kernel.hosting")
                self._hosting = module.Hosting(self._send_events, self._kernel.control_thread.io_loop.asyncio_loop)
            return self._hosting

    async def _live(self) -> None:
        """Give signs of life as long as a request is under way or a run is told of: to be silent is to be culled."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            runs = self._hosting.alive() if self._hosting is not None else {}
            if not runs and not self._under_way and not self._loading.locked():
                return
            self._send(wire.ALIVE, {"runs": runs}, self._asker)
            # No parent: it belongs to no cell, and no front end must put it below one.
            self._session.send(self._kernel.iopub_socket, wire.ALIVE, {}, parent={}, ident=wire.ALIVE.encode())

    def _send(self, message: str, content: dict[str, Any], asker: list[bytes]) -> None:
        self._kernel.control_thread.io_loop.add_callback(self._send_now, message, content, asker)

    def _send_now(self, message: str, content: dict[str, Any], asker: list[bytes]) -> None:
        session = self._session
        self._put(session.serialize(session.msg(message, content, parent={}), asker))

    def _send_events(self, session: str, run: str, first: int, lines: list[bytes]) -> None:
        """Called on the control thread, up to a hundred times a second for each run."""
        content = msgspec.json.encode({"session": session, "run": run, "from": first})
        signed = [self._events_header, b"{}", b"{}", content]
        self._put([*self._asker, DELIM, self._session.sign(signed), *signed, b"\n".join(lines)])

    def _put(self, frames: list[bytes]) -> None:
        """Hand a message to the socket itself: its stream would take two more turns of the loop for each.

        Never blocks: what a peer has no room for is left out, and the server asks for it again.
        """
        socket = self._stream.socket
        socket.send_multipart(frames, zmq.NOBLOCK)
        if socket.get(zmq.EVENTS) & zmq.POLLIN:  # sending has taken the signal that a request came, so nobody else will
            self._stream.flush(zmq.POLLIN)

    @property
    def _session(self) -> Session:
        session: Session | None = self._kernel.session
        assert session is not None
        return session

    @cached_property
    def _events_header(self) -> bytes:
        """The same for all: making one costs as much as sending it, and no more is read of it than its type."""
        header: bytes = self._session.pack(self._session.msg_header(wire.EVENTS))
        return header


def install() -> None:
    """Let this kernel answer the server; harmless twice.

    Raises:
        RuntimeError: this is no IPython kernel.
    """
    from ipykernel.kernelbase import Kernel

    if not Kernel.initialized():
        raise RuntimeError("fleet-rlm's server works with IPython kernels only")
    kernel = Kernel.instance()
    if wire.REQUEST not in kernel.control_handlers:
        kernel.control_handlers[wire.REQUEST] = Station(kernel).received


def _fault(error: FleetError) -> wire.Fault:
    kinds: dict[str, wire.Fault] = {
        "SessionBusy": "busy",
        "SessionClosed": "conflict",
        "SessionInUse": "in_use",
        "SessionNotFound": "not_found",
        "Conflict": "conflict",
        "NotAsked": "conflict",
    }
    for kind in type(error).__mro__:
        if kind.__name__ in kinds:
            return kinds[kind.__name__]
    if isinstance(error, ModelError):
        return "model"
    return "refused" if isinstance(error, UserError) else "failed"
