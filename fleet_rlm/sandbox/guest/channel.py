"""The guest's end of the wire: many threads may ask, and whoever waits does the reading.

There is no reader thread. A waiting thread takes the turn to read and hands other threads' messages to their boxes;
when its own arrives it passes the turn on. So a call from the main thread costs no thread switch, and a fork finds no
helper thread to lose.
"""

from __future__ import annotations

import collections
import itertools
import os
import select
import socket
import threading
from collections.abc import Iterable
from typing import Any

from . import wire
from .signals import Interrupts

Message = tuple[dict[str, Any], list[bytes], list[int]]  # header, buffers, descriptors
CLOSED_ON_EXEC = socket.MSG_CMSG_CLOEXEC  # programs that code starts must not hold a channel open
NO_HOST = "host tools and SUBMIT work in the cell's own process only, not in one that it forks; use threads"


class Box:
    """The messages meant for one waiter."""

    __slots__ = ("event", "messages")

    def __init__(self) -> None:
        self.event: threading.Event | None = None  # until somebody must wait while another reads
        self.messages: collections.deque[Message] = collections.deque()

    def rouse(self) -> None:
        """There may be a message, or the turn to read."""
        if self.event is not None:
            self.event.set()


class Channel:
    """One duplex stream to the host. The end of the stream ends this process: nobody is left to work for."""

    def __init__(self, sock: socket.socket, interrupts: Interrupts) -> None:
        sock.setblocking(True)
        self.socket = sock
        self.interrupts = interrupts
        self.commands = Box()
        self._boxes: dict[int, Box] = {}
        self._ids = itertools.count(1)
        self._waiting: list[Box] = []
        self._turn = threading.Lock()
        self._reader = 0  # the thread that has the turn
        self._sending = threading.Lock()
        self._parser = wire.Parser()
        self._fds: collections.deque[int] = collections.deque()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def send(self, header: dict[str, Any], buffers: Iterable[wire.Buffer] = ()) -> None:
        """Write a frame. Raises TypeError or ValueError, before anything is written, if it cannot travel."""
        chunks = wire.framed(wire.pack(header, buffers))
        if len(chunks) > 1 and (size := sum(map(len, chunks))) > wire.GUEST_LIMIT:
            raise ValueError(f"{size:,} bytes are more than the {wire.GUEST_LIMIT:,} that may leave at once")
        region = self.interrupts.guard()
        try:
            with self._sending:
                for chunk in chunks:
                    self.socket.sendall(chunk)
        except OSError:
            os._exit(0)
        finally:
            self.interrupts.release(region)

    def open_box(self) -> tuple[int, Box]:
        """A box for the answers to one call."""
        if self.interrupts.away:
            raise RuntimeError(NO_HOST)
        number = next(self._ids)
        box = self._boxes[number] = Box()
        return number, box

    def close_box(self, number: int) -> None:
        """Forget a call; what still arrives for it is dropped."""
        self._boxes.pop(number, None)

    def receive(self, box: Box) -> Message:
        """The next message for this box, reading for everybody meanwhile if nobody else does."""
        region = self.interrupts.guard()
        self._waiting.append(box)
        try:
            while True:
                if box.messages:
                    return box.messages.popleft()
                if self._turn.acquire(blocking=False):
                    self._reader = threading.get_ident()
                    try:
                        while not box.messages:
                            self._read(region)
                        return box.messages.popleft()
                    finally:
                        self._reader = 0
                        self._turn.release()
                if self._reader == threading.get_ident():  # who interrupted its own wait would wait for itself
                    raise RuntimeError("a signal handler cannot call host tools while its thread waits for one")
                if box.event is None:
                    box.event = threading.Event()
                    continue  # what came before it was there roused nobody
                self.interrupts.wait(region, box.event.wait)
                box.event.clear()
        finally:
            self._waiting.remove(box)
            for other in self._waiting:
                other.rouse()
                break
            self.interrupts.release(region)

    def _read(self, region: int | None) -> None:
        self.interrupts.wait(region, self._poll.poll)
        try:
            data, ancillary, _flags, _address = self.socket.recvmsg(65_536, 4 * wire.MAX_FDS + 64, CLOSED_ON_EXEC)
        except OSError:
            data, ancillary = b"", []
        if not data:
            os._exit(0)
        self._fds.extend(wire.descriptors(ancillary))
        self._parser.feed(data)
        while (frame := self._parser.pop()) is not None:
            header, parts = frame
            fds = [self._fds.popleft() for _ in range(header.get("nfd", 0))]
            call = header.get("call")
            box = self.commands if call is None else self._boxes.get(call)
            if box is None:
                for fd in fds:
                    os.close(fd)
                continue
            box.messages.append((header, parts, fds))
            box.rouse()
