"""A checkpoint: a fork that never runs a cell. It sleeps on its own channel and forks a sandbox when the host asks.

It must outlive the guest it was taken from, so it asks for no signal at that one's death; and what it forks must
outlive it, so neither do they. All of them become children of the template when their parent dies, and the warden ends
whatever is below it when the host is gone.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable

from . import wire
from .channel import CLOSED_ON_EXEC


def keep(sock: socket.socket, inherited: socket.socket, awake: Callable[[str, socket.socket], None]) -> None:
    """Detach from the guest, whose channel is `inherited`, and sleep until the host closes `sock`. Never returns.

    `awake(directory name, channel)` turns a fork into a sandbox and does not return either.
    """
    if os.fork():  # orphaned at once: a cell that waits for all its children must not wait for a checkpoint
        os._exit(0)
    os.setsid()
    inherited.close()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGCHLD)}
    collecting = gc.isenabled()
    gc.disable()
    parser, fds = wire.Parser(), list[int]()
    _send(sock, {"t": "ready"})
    while data := _received(sock, fds):
        parser.feed(data)
        while (frame := parser.pop()) is not None:
            channel = socket.socket(fileno=fds.pop(0))
            try:
                pid = os.fork()
            except OSError as error:
                _send(channel, {"t": "failed", "error": {"message": str(error)}})
                pid = -1
            if pid == 0:
                sock.close()
                os.setsid()
                for number, handler in before.items():
                    signal.signal(number, handler)
                if collecting:
                    gc.enable()
                awake(frame[0]["dir"], channel)
            channel.close()
    os._exit(0)


def _received(sock: socket.socket, fds: list[int]) -> bytes:
    try:
        data, ancillary, _flags, _address = sock.recvmsg(65_536, 4 * wire.MAX_FDS + 64, CLOSED_ON_EXEC)
    except OSError:
        return b""
    fds.extend(wire.descriptors(ancillary))
    return data


def _send(sock: socket.socket, header: dict[str, object]) -> None:
    try:
        sock.sendall(b"".join(wire.framed(wire.pack(header))))
    except OSError:
        os._exit(0)
