"""One sandbox's life: serve cells, values and forks from one channel until the host closes it.

A session owns a namespace (which is `__main__`), a place and a channel. A fork carries the namespace over and replaces
everything else. It may happen between cells or, for a forking tool, in the thread that waits for the tool; the child
serves its own cells from there and never returns.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from . import cell, checkpoint, display, inbox, lockdown, moving, output, tools, wire
from . import channel as wires
from .place import Place
from .signals import IDLE, USER, Interrupts

HOSTS = ("SUBMIT", "display", "ToolError")  # names of a namespace that every sandbox has from its host
TEXT_VALUE = 16 << 20  # characters of a trailing string that are returned as they are


class Session:
    """The state of one sandbox process."""

    def __init__(self, place: Place, namespace: dict[str, Any], out: output.Output) -> None:
        self.place = place
        self.namespace = namespace
        self.output = out
        self.tools: set[str] = set()
        self.slots: dict[int, Any] = {}  # values the host sent, by the host's number for them
        self.cells = 0
        self.children: set[int] = set()
        self.passing: set[int] = set()  # forks that only start a checkpoint and end
        self.dividing = False  # a fork is being made for the host
        self.displays: list[dict[str, Any]] = []
        self._seen_files: dict[str, tuple[int, int]] = {}

    def serve(self, sock: socket.socket) -> None:
        """Answer the host; ends with the process, never by returning."""
        self.interrupts = Interrupts()
        self.channel = wires.Channel(sock, self.interrupts)
        self.submission = cell.Submission(self.interrupts)
        self.output.enter(self.place.directory, lambda chunks: self.channel.send({"t": "out", "c": chunks}))
        self.namespace["display"] = self.display
        tools.serve(self)
        self.place.changed(self._seen_files)
        self.channel.send({"t": "ready", "files": self.place.files})
        answers: dict[str, Callable[[dict[str, Any], list[bytes], list[int]], None]] = {
            "exec": self._execute,
            "put": self._put,
            "get": self._get,
            "fork": self._fork,
            "checkpoint": self._checkpoint,
            "dump": self._dump,
            "load": self._load,
        }
        while True:
            header, parts, fds = self.channel.receive(self.channel.commands)
            answers[header["t"]](header, parts, fds)

    # ---- cells

    def _execute(self, header: dict[str, Any], _parts: list[bytes], _fds: list[int]) -> None:
        self._reap()
        self.cells += 1
        for name in header.get("drop", ()):
            self.tools.discard(name)
            self.namespace.pop(name, None)
        for name, kind in header.get("add", {}).items():
            self.tools.add(name)
            self.namespace[name] = tools.function(name, kind)
        for name, slot in header.get("bind", ()):
            self.namespace[name] = self.slots[slot]
        self.namespace.update(header.get("set", {}))
        self.submission.fields = header["fields"]
        self.namespace["SUBMIT"] = self.submission.submit
        self.output.begin(self.place.artifacts, self.cells, header["stream"])
        self.displays = []
        sys.stdout, sys.stderr = self.output.stdout, self.output.stderr
        outcome = cell.run(header["code"], self.cells, self.namespace, self.submission, self.interrupts)
        self._finish(header["id"], outcome)

    def _finish(self, number: int, outcome: cell.Outcome) -> None:
        reply: dict[str, Any] = {"t": "res", "id": number, "value": None, "error": outcome.error}
        if outcome.has_value:
            self.namespace["_"] = outcome.value
            self._interruptible(reply, lambda: self._show_value(reply, outcome.value))
        if "matplotlib.pyplot" in sys.modules:
            self._interruptible(reply, lambda: self.displays.extend(display.open_figures(outcome.value)))
        values, self.submission.values = self.submission.values, None
        reply["displays"] = self.displays
        reply["output"] = self.output.end()
        reply["files"] = self.place.changed(self._seen_files)
        if values is not None and reply["error"] is None:
            reply["submitted"] = {name: wire.lifted(value) for name, value in values.items()}
        try:
            self.channel.send(reply)
        except (TypeError, ValueError, RecursionError, MemoryError) as error:  # what was submitted cannot leave
            reply.pop("submitted", None)
            reply["displays"] = []
            reply["error"] = reply["error"] or cell.describe(TypeError(f"SUBMIT: {error}" if values else str(error)))
            self.channel.send(reply)

    def _interruptible(self, reply: dict[str, Any], work: Callable[[], None]) -> None:
        """Run code of the cell's objects (repr, savefig) as part of the cell: its errors are the cell's."""
        try:
            self.interrupts.region = USER
            work()
        except BaseException as error:
            self.interrupts.region = IDLE
            reply["error"] = reply["error"] or cell.described(error, self.interrupts)
        finally:
            self.interrupts.region = IDLE

    def _show_value(self, reply: dict[str, Any], value: Any) -> None:
        reply["value"] = cell.bounded_repr(value)
        if type(value) is str and len(value) <= TEXT_VALUE:
            reply["text"] = wire.lifted(value)
        rich = display.bundle(value)
        if rich is not None:
            self.displays.append(rich)

    def display(self, *objects: Any) -> None:
        """Show objects richly beside the printed output."""
        for obj in objects:
            rich = display.bundle(obj)
            print(obj if rich is None else rich["text/plain"])
            if rich is not None:
                self.displays.append(rich)

    # ---- values

    def _put(self, header: dict[str, Any], parts: list[bytes], fds: list[int]) -> None:
        reply: dict[str, Any] = {"t": "res", "id": header["id"]}
        try:
            obj = inbox.value(header["value"], parts, fds) if header["value"] else self.slots[header["slot"]]
        except Exception as error:
            reply["error"] = cell.describe(error)
        else:
            self.namespace[header["name"]] = obj
            if header["slot"] is not None:
                self.slots[header["slot"]] = obj
        self.channel.send(reply)

    def _get(self, header: dict[str, Any], _parts: list[bytes], _fds: list[int]) -> None:
        try:
            if header["name"] not in self.namespace:
                raise NameError(f"there is no variable {header['name']!r} in the sandbox")
            head, buffers = inbox.outgoing(self.namespace[header["name"]])
            self.channel.send({"t": "res", "id": header["id"], "head": head}, buffers)
        except Exception as error:
            self.channel.send({"t": "res", "id": header["id"], "error": cell.describe(error)})

    def _dump(self, header: dict[str, Any], _parts: list[bytes], fds: list[int]) -> None:
        self._move(header, lambda: moving.dump(self.namespace, self.slots, {*self.tools, *HOSTS}, fds[0]))

    def _load(self, header: dict[str, Any], _parts: list[bytes], fds: list[int]) -> None:
        self._move(header, lambda: moving.load(self.namespace, fds[0]))

    def _move(self, header: dict[str, Any], work: Callable[[], dict[str, Any]]) -> None:
        reply: dict[str, Any] = {"t": "res", "id": header["id"]}
        try:
            reply |= work()
        except Exception as error:  # pickling runs the values' own code, which may raise anything
            reply["error"] = cell.describe(error)
        self.channel.send(reply)

    # ---- forks

    def _fork(self, header: dict[str, Any], _parts: list[bytes], fds: list[int]) -> None:
        self._split(header, fds, self.children, lambda sock: self._continue_as_child(header["dir"], sock, {}))

    def _checkpoint(self, header: dict[str, Any], _parts: list[bytes], fds: list[int]) -> None:
        def awake(name: str, sock: socket.socket) -> None:
            live(self.successor(name), sock, self.place.work)

        self._split(header, fds, self.passing, lambda sock: checkpoint.keep(sock, self.channel.socket, awake))

    def _split(
        self, header: dict[str, Any], fds: list[int], pids: set[int], become: Callable[[socket.socket], None]
    ) -> None:
        """Fork between cells, unless threads of the code would be lost half-way through what they do."""
        reply: dict[str, Any] = {"t": "res", "id": header["id"], "threads": threads_of_the_code()}
        if reply["threads"]:
            os.close(fds[0])
        else:
            reply["error"] = self._forked(fds, pids, become)
        self.channel.send(reply)

    def fork_in_call(self, header: dict[str, Any], fds: list[int], bind: dict[str, Any]) -> None:
        """Fork while a cell waits for a tool; the child has `bind` added to its namespace.

        Other threads of the cell are lost in the child, and a lock one of them held stays locked there.
        """
        error = self._forked(fds, self.children, lambda sock: self._continue_as_child(header["dir"], sock, bind))
        if error is not None:
            self.channel.send({"t": "unforked", "id": header["id"], "error": error})

    def _forked(self, fds: list[int], pids: set[int], become: Callable[[socket.socket], None]) -> str | None:
        """Fork this process; the child becomes what serves the passed socket. Returns why it could not."""
        sock = socket.socket(fileno=fds[0])
        self._reap()
        region = self.interrupts.guard()
        gc.freeze()  # a collection in the child would write to every inherited page
        self.dividing = True
        try:
            pid = os.fork()
            if pid == 0:
                become(sock)
            pids.add(pid)
        except OSError as error:
            return str(error)
        finally:
            self.dividing = False
            gc.unfreeze()
            sock.close()
            self.interrupts.release(region)
        return None

    def _continue_as_child(self, name: str, sock: socket.socket, bind: dict[str, Any]) -> None:
        become_sandbox(sock, self.channel.socket)
        self.namespace.update(bind)
        live(self.successor(name), sock)

    def successor(self, name: str) -> Session:
        """The session of a fork, with this one's variables and a place of its own inside this one's."""
        heir = Session(self.place.below(name), self.namespace, self.output)
        heir.tools, heir.slots = self.tools, self.slots
        return heir

    def forked(self) -> None:
        """This process is a fork. One that the code made has the variables, but is no sandbox and has no host."""
        if not self.dividing:
            self.interrupts.away, self.interrupts.region = True, USER
            self.channel.socket.close()
            self.output.leave()

    def _reap(self) -> None:
        while self.passing:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.passing.pop(), 0)
        for pid in list(self.children):  # one by one: a cell's own subprocesses are its own to wait for
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    self.children.discard(pid)
            except ChildProcessError:
                self.children.discard(pid)


def become_sandbox(sock: socket.socket, inherited: socket.socket) -> None:
    """First steps of a fresh fork: own process group, death with the parent, the parent's channel closed.

    Not a session of its own: Linux schedules by session, and the fork would wait 3 ms for its first turn in a new one.
    """
    os.setpgid(0, 0)
    lockdown.die_with_parent(signal.SIGKILL)
    inherited.close()


def _reseed() -> None:
    """Random numbers of its own for a fork: Python's `random` sees to that by itself, numpy's does not."""
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        with contextlib.suppress(TypeError):  # a generator of another kind, which the code has chosen
            numpy_random.seed()


def threads_of_the_code() -> list[str]:
    """Names of the Python threads that cells left running. Native threads cannot be seen from here."""
    ours = {threading.get_ident(), *(t.ident for t in threading.enumerate() if t.name.startswith("fleet-"))}
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return [names.get(ident, f"thread {ident}") for ident in sys._current_frames() if ident not in ours]


def live(session: Session, sock: socket.socket, files: str | None = None) -> None:
    """Enter the session's place, with a copy of the `files` of a directory, and serve. Never returns."""
    try:
        session.place.enter(files)
        _reseed()
        session.serve(sock)
    except BaseException as error:
        try:
            sock.setblocking(True)
            failure = {"t": "failed", "error": cell.describe(error)}
            sock.sendall(b"".join(wire.framed(wire.pack(failure))))
        except OSError:
            os._exit(1)
    finally:
        os._exit(1)
