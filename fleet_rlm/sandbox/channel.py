"""The host's end of one stream to a guest, read by the background loop and written from any thread.

Frames are written at once if the socket takes them, queued otherwise; arriving frames go to one callback. A thread
that has a tool's result writes it itself, so the guest need not wait for the loop to be woken. Whatever arrives comes
from generated code: it is bounded, parsed as JSON with raw buffers, and never unpickled.
"""

from __future__ import annotations

import asyncio
import collections
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

from fleet_rlm.sandbox.guest import wire

STREAM_ENDED = "its process ended"
Frame = tuple[dict[str, Any], list[bytes]]


class Channel:
    """One end of a socketpair. `on_frame` hears frames, `on_end` the end (with a reason) exactly once."""

    def __init__(
        self,
        sock: socket.socket,
        on_frame: Callable[[dict[str, Any], list[bytes]], None],
        on_end: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._parser = wire.Parser(wire.GUEST_LIMIT)
        self._queue: collections.deque[tuple[memoryview, list[int]]] = collections.deque()
        self._writing = threading.Lock()  # of everything that writing touches: the queue, `_open`, closing the socket
        self._open = True
        self.peer_pid: int | None = None  # learned from the kernel with the first bytes
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._loop.add_reader(sock, self._readable)

    def send(self, header: dict[str, Any], buffers: Iterable[wire.Buffer] = (), fds: Iterable[int] = ()) -> None:
        """Write a frame; takes ownership of the descriptors. Silent after the end: `on_end` has told."""
        owned = list(fds)
        if owned:
            header = {**header, "nfd": len(owned)}
        chunks = wire.framed(wire.pack(header, buffers))
        with self._writing:
            if not self._open:
                _close(owned)
                return
            idle = not self._queue
            self._queue.append((memoryview(chunks[0]), owned))
            self._queue.extend((memoryview(chunk), []) for chunk in chunks[1:])
            if idle and not self._write():
                self._loop.call_soon_threadsafe(self._wait_for_room)

    def close(self) -> None:
        """Close this end; the guest ends. `on_end` is not called."""
        self._shut()

    def _shut(self) -> None:
        with self._writing:
            if not self._open:
                return
            self._open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            for _, fds in self._queue:
                _close(fds)
            self._queue.clear()
            self._socket.close()

    def _end(self, reason: str) -> None:
        if self._open:
            self._shut()
            self._on_end(reason)

    def _write(self) -> bool:
        """Write what the socket takes. False if it is full."""
        try:
            while self._queue:
                chunk, fds = self._queue[0]
                sent = self._socket.sendmsg([chunk], wire.rights(fds)) if fds else self._socket.send(chunk)
                _close(fds)
                if sent < len(chunk):
                    self._queue[0] = (chunk[sent:], [])
                else:
                    self._queue.popleft()
        except BlockingIOError:
            return False
        except OSError:
            return True  # the reader will see the end
        return True

    def _wait_for_room(self) -> None:
        if self._open:
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        with self._writing:
            if self._open and self._write():
                self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            if self.peer_pid is None:
                data, ancillary, _flags, _address = self._socket.recvmsg(65_536, 256)
                self._learn(ancillary)
            else:
                data = self._socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(STREAM_ENDED)
            return
        try:
            self._parser.feed(data)
            while self._open and (frame := self._parser.pop()) is not None:
                self._on_frame(*frame)
        except wire.ProtocolError as error:
            self._end(f"it sent {error}")

    def _learn(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                self.peer_pid = struct.unpack_from("i", data)[0]
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
            elif kind == socket.SCM_RIGHTS:
                _close(wire.descriptors([(level, kind, data)]))


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
    fds.clear()
