"""The warm process sandboxes are forked from: confined, modules preloaded, no generated code ever run in it."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import types
from typing import Any

from . import inbox, lockdown, session, signals, tools, wire
from .channel import CLOSED_ON_EXEC
from .output import Output
from .place import Place, keep_modes


def main(sock: socket.socket, config: dict[str, Any], namespaces_refused: str | None) -> None:
    """Lock, preload, report, fork on request until the host closes the channel. Never returns."""
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        lockdown.first_to_go()
        lockdown.die_with_parent(signal.SIGKILL)
        lockdown.adopt_orphans()  # what slips away from a sandbox becomes this process's child, where the host sees it
        memory = os.open("/proc/self/statm", os.O_RDONLY)  # before /proc is out of reach
        report = _locked(config, namespaces_refused)
        for module in config["preload"]:
            __import__(module)
        tell(sock, {"t": "ready", **report})
    except lockdown.Refused as error:
        tell(sock, {"t": "failed", "reasons": [f"refused: {error}"]})
        os._exit(1)
    except BaseException as error:
        tell(sock, {"t": "failed", "reasons": [f"{type(error).__name__}: {error}"]})
        os._exit(1)
    size = int(os.read(memory, 4096).split()[0]) * os.sysconf("SC_PAGESIZE")
    os.close(memory)
    _serve(sock, config, report, size)


def _locked(config: dict[str, Any], namespaces_refused: str | None) -> dict[str, Any]:
    sys.path[:] = [entry for entry in sys.path if entry in config["path"]] + [
        entry for entry in config["path"] if entry not in sys.path
    ]
    if config["lock"] == "none":
        return {"tier": "process", "confined": False, "namespaces": False, "abi": 0, "guarantees": {}, "missing": []}
    if config["lock"] == "namespaces" and namespaces_refused is not None:
        raise lockdown.Refused(namespaces_refused)
    namespaces = config["lock"] != "base" and namespaces_refused is None
    config["read"] = lockdown.readable(tuple(config["read"]))
    report = lockdown.lock(config["root"], config["read"], namespaces=namespaces)
    keep_modes()
    if namespaces_refused is not None:
        report["missing"] = [*report["missing"], f"namespaces ({namespaces_refused})"]
    return {**report, "confined": True, "namespaces": namespaces}


def tell(sock: socket.socket, header: dict[str, Any]) -> None:
    """Write a frame to the host."""
    try:
        sock.sendall(b"".join(wire.framed(wire.pack(header))))
    except OSError:
        os._exit(0)


def _serve(sock: socket.socket, config: dict[str, Any], report: dict[str, Any], size: int) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    gc.freeze()  # for good: a collection in a sandbox would write to every page it inherited
    parser, fds = wire.Parser(), list[int]()
    sandboxes: dict[int, int] = {}  # pid -> the host's number for it
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(reading, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if reading in ready:
            os.read(reading, 4096)
            _report_dead(sock, sandboxes)
        if sock.fileno() not in ready:
            continue
        data, ancillary, _flags, _address = sock.recvmsg(65_536, 4 * wire.MAX_FDS + 64, CLOSED_ON_EXEC)
        if not data:
            os._exit(0)
        parser.feed(data)
        fds.extend(wire.descriptors(ancillary))
        while (frame := parser.pop()) is not None:
            channel = socket.socket(fileno=fds.pop(0))
            try:
                pid = os.fork()
            except OSError as error:
                tell(sock, {"t": "unforked", "id": frame[0]["id"], "error": str(error)})
                channel.close()
                continue
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(reading)
                os.close(writing)
                _become(channel, sock, config, report, frame[0], size)
            channel.close()
            sandboxes[pid] = frame[0]["id"]


def _become(
    channel: socket.socket,
    inherited: socket.socket,
    config: dict[str, Any],
    report: dict[str, Any],
    header: dict[str, Any],
    size: int,
) -> None:
    session.become_sandbox(channel, inherited)
    memory = header["memory"]
    lockdown.limit(memory=None if memory is None else size + memory, file_size=header["file_size"])
    module = types.ModuleType("__main__")
    module.__dict__["ToolError"] = inbox.ToolError
    sys.modules["__main__"] = module
    sys.argv[:] = [""]
    signals.defer()
    os.register_at_fork(after_in_child=tools.forked)
    place = Place(os.path.join(config["root"], header["dir"]), report, tuple(config["read"]))
    session.live(session.Session(place, module.__dict__, Output()), channel)


def _report_dead(sock: socket.socket, sandboxes: dict[int, int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if (number := sandboxes.pop(pid, None)) is not None:
            tell(sock, {"t": "exited", "id": number, "code": os.waitstatus_to_exitcode(status)})
