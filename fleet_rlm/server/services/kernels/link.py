"""A link to one kernel: requests to it and answers from it, apart from every other client of that kernel.

A client of the server's kernel manager shares its ZMQ identity with all others and takes their replies away, so a link
has a `Session` of its own with the same key. Everything goes over one connection to the control channel (`wire`). That
a kernel has ended or was restarted is found by looking at its process: no message says so, and the server's own
restarter looks every three seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import logging
import queue
from collections.abc import Callable
from typing import Any

import msgspec
import zmq
from jupyter_client.session import DELIM, Session
from jupyter_core.utils import ensure_async

from fleet_rlm.server import wire
from fleet_rlm.server.services import errors
from fleet_rlm.server.services.kernels.collecting import Collector

LOOK_S = 0.25
"""Seconds between looks at the kernel's process."""

AT_ONCE = 100
"""Messages taken in one turn of the loop, so that whatever else waits has its turn too."""

INSTALL_S = 60
"""How long a kernel may take to import what answers requests; a notebook's must first finish its cell."""

ANSWER_S = 120
"""How long opening a session or loading a document may take."""

Events = Callable[[str, str, int, list[bytes]], None]
Alive = Callable[[dict[str, int]], None]

logger = logging.getLogger("fleet_rlm")

_FAULTS: dict[wire.Fault, type[errors.ServiceError]] = {
    "refused": errors.Refused,
    "busy": errors.Busy,
    "in_use": errors.InUse,
    "model": errors.ModelUnavailable,
    "conflict": errors.Conflict,
    "failed": errors.ServiceError,
}


class _Header(msgspec.Struct):
    msg_type: str


_header = msgspec.json.Decoder(_Header)
_POLLIN = int(zmq.POLLIN)  # a flag of an enum takes longer to compare than a message to receive


class Link:
    """Speaks to one kernel from `connect` to `close`.

    Args:
        kernel_id: its id at the kernel manager.
        kernel: its own manager there.
        collector: reads what it answers, together with what others do.
        on_events: called with the ids of a session and a run, the number of the first line, and lines of its log.
        on_alive: called with the runs that go on and the number of each one's next event.
        on_gone: called once, when the kernel has ended or was restarted.
    """

    def __init__(
        self,
        kernel_id: str,
        kernel: Any,
        collector: Collector,
        *,
        on_events: Events,
        on_alive: Alive,
        on_gone: Callable[[], object],
    ) -> None:
        self.kernel_id = kernel_id
        self._kernel = kernel
        self._collector = collector
        self._on_events = on_events
        self._on_alive = on_alive
        self._on_gone = on_gone
        self._session = Session(config=kernel.session.config, key=kernel.session.key)
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._ids = itertools.count()
        self._process: object = None
        self._watch: asyncio.Task[None] | None = None
        self._client: Any = None
        self.is_open = False

    async def connect(self, heartbeat_s: float) -> dict[str, Any]:
        """Let the kernel answer requests, and wait until it does.

        Raises:
            Refused: fleet-rlm does not work in that kernel.
            KernelDied: it ended meanwhile.
        """
        self._process = _process(self._kernel)
        self._control = self._kernel.connect_control(identity=self._session.bsession)
        self._control.on_recv(self._arrived)
        self._unwatch = self._collector.watch(self._control, self._take)
        self.is_open = True
        self._watch = asyncio.create_task(self._look())
        try:
            await self._install()
            hello: dict[str, Any] = await self.ask("hello", timeout=INSTALL_S, heartbeat_s=heartbeat_s)
            if hello["wire"] != wire.VERSION:
                raise errors.Refused(
                    f"kernel {self.kernel_id} has fleet-rlm {hello['version']}, which this server cannot speak to; "
                    "install there what the server has"
                )
            return hello
        except TimeoutError:
            self.close()
            raise errors.KernelDied(f"kernel {self.kernel_id} does not answer; restart it") from None
        except BaseException:
            self.close()
            raise

    async def look(self) -> bool:
        """Whether the kernel's process is still the one this link was made for; where it is not, the link closes."""
        is_mine = _process(self._kernel) == self._process and await ensure_async(self._kernel.is_alive())
        if self.is_open and not is_mine:
            self.close()
            self._on_gone()
        return self.is_open

    async def ask(self, verb: str, *, timeout: float = ANSWER_S, **args: Any) -> Any:
        """What the kernel answers.

        Raises:
            ServiceError: what it says it cannot do, by whose fault it is.
            KernelDied: it ended before it answered.
            TimeoutError: it has not answered in time.
        """
        if not self.is_open:
            raise errors.KernelDied(f"kernel {self.kernel_id} has ended")
        identity = f"{self._session.session}-{next(self._ids)}"
        answer = self._waiting[identity] = asyncio.get_running_loop().create_future()
        self._session.send(self._control, wire.REQUEST, {"id": identity, "verb": verb, "args": args})
        try:
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            self._waiting.pop(identity, None)

    def close(self) -> None:
        """Speak to it no more; harmless twice."""
        if self._watch is not None:
            self._watch.cancel()
        if not self.is_open:
            return
        self.is_open = False
        self._unwatch()
        if not self._control.closed():
            self._control.close(linger=0)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(errors.KernelDied(f"kernel {self.kernel_id} ended before it answered"))
                answer.exception()  # whoever asked may be gone too

    async def _install(self) -> None:
        client = self._kernel.client(session=Session(config=self._kernel.session.config, key=self._kernel.session.key))
        client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
        try:
            # No echo, no history, no result: nobody who has the notebook open sees this.
            sent = client.execute(wire.INSTALL, silent=True, store_history=False, allow_stdin=False)
            content = await self._executed(client, sent)
        finally:
            client.stop_channels()
        if content.get("status") != "ok":
            told = f"{content.get('ename')}: {content.get('evalue')}"
            raise errors.Refused(f"fleet-rlm does not work in kernel {self.kernel_id} ({told}); install it there")

    async def _executed(self, client: Any, sent: str) -> dict[str, Any]:
        until = asyncio.get_running_loop().time() + INSTALL_S
        while self.is_open:
            with contextlib.suppress(queue.Empty):
                reply = await ensure_async(client.get_shell_msg(timeout=LOOK_S))
                if reply["parent_header"].get("msg_id") == sent:
                    content: dict[str, Any] = reply["content"]
                    return content
            if asyncio.get_running_loop().time() > until:
                raise errors.Busy(f"kernel {self.kernel_id} is executing something else; wait for it, or interrupt it")
        raise errors.KernelDied(f"kernel {self.kernel_id} ended before it answered")

    def _arrived(self, frames: list[bytes]) -> None:
        """Take a message that the stream found when it sent one, and what has come after it."""
        self._received(frames)
        self._take()

    def _take(self) -> None:
        """Take all there is, and leave the loop to others after so many messages."""
        for _ in range(AT_ONCE):
            if not self.is_open:
                return
            if not self._control.socket.get(zmq.EVENTS) & _POLLIN:
                break
            self._received(self._control.socket.recv_multipart(zmq.NOBLOCK))
        else:
            asyncio.get_running_loop().call_soon(self._take)
        if self._control.sending():  # there was no room for it, and there is now
            self._control.flush(zmq.POLLOUT)

    def _received(self, frames: list[bytes]) -> None:
        """Take one message."""
        try:
            self._read(frames)
        except Exception:  # code in a kernel can send what it likes, and nothing tells again that more is there
            logger.exception("a message of kernel %s cannot be read and is left out", self.kernel_id)

    def _read(self, frames: list[bytes]) -> None:
        """Do what a message says. What `Session.deserialize` does beyond this costs three times as much, of a thousand
        a second: it parses every date in two headers that nobody here reads."""
        signature, *signed = frames[frames.index(DELIM) + 1 : frames.index(DELIM) + 6]
        if not hmac.compare_digest(signature, self._session.sign(signed)):
            logger.warning("a message of kernel %s has a wrong signature and is left out", self.kernel_id)
            return
        header, content = _header.decode(signed[0]), msgspec.json.decode(signed[3])
        match header.msg_type:
            case wire.EVENTS:
                self._on_events(content["session"], content["run"], content["from"], frames[-1].split(b"\n"))
            case wire.ANSWER:
                self._answered(content)
            case wire.ALIVE:
                self._on_alive(content["runs"])

    def _answered(self, content: dict[str, Any]) -> None:
        answer = self._waiting.get(content["id"])
        if answer is None or answer.done():
            return
        if "fault" not in content:
            answer.set_result(content["result"])
        elif content["fault"] == "not_found":
            answer.set_exception(errors.Refused(content["message"]))
        else:
            answer.set_exception(_FAULTS[content["fault"]](content["message"]))

    async def _look(self) -> None:
        """Look again and again: nothing tells when a process ends."""
        while await self.look():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)


def _process(kernel: Any) -> object:
    """What tells one process of a kernel from the next, as far as its provisioner knows one."""
    return getattr(kernel.provisioner, "pid", None)
