"""The parent of everything the sandboxes start: it outlives them, ends what is left, and removes their directory.

It must notice the host's death in every way it can come: the lifeline's end, and a signal for the case that a forked
copy of the host keeps the lifeline open. It adopts orphans, so nothing below it can slip away.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from typing import Any, NoReturn

from . import lockdown, template, wire
from .removal import remove


def main(control: int, lifeline: int, root: str) -> None:
    """Serve as the warden; the forked template never returns here."""
    sock = socket.socket(fileno=control)
    try:
        os.mkdir(root, 0o700)
    except OSError as error:
        template.tell(sock, {"t": "failed", "reasons": [f"the worker could not be started: {error}"]})
        os._exit(1)
    os.chdir(root)
    config = _first_frame(sock)
    if config is None:
        _leave(root)
    reason = None
    if config["lock"] == "auto" or config["lock"] == "namespaces":
        reason = lockdown.namespaces_refused()
        if reason is None:
            lockdown.enter_namespaces()
    reading, writing = os.pipe()  # signals and the template's end are bytes in here
    os.set_blocking(writing, False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    lockdown.die_with_parent(signal.SIGTERM)
    lockdown.adopt_orphans()
    if os.getppid() != config["host"]:
        _leave(root, config["groups"])
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what the code starts must end when it is told to
        for fd in (reading, writing, lifeline):
            os.close(fd)
        template.main(sock, config, reason)
    sock.close()
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(reading, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if lifeline in ready:
            break
        if signal.SIGTERM in os.read(reading, 4096) or _ended(pid):
            break
    _kill(pid)
    _end_descendants()
    _leave(root, config["groups"])


def _leave(root: str, groups: str | None = None) -> NoReturn:
    remove(*os.path.split(root))
    if groups is not None:
        _remove_groups(groups)
    os._exit(0)


def _remove_groups(path: str) -> None:
    """The control groups of the sandboxes, which are empty by now."""
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                os.rmdir(entry.path)
    os.rmdir(path)


def _first_frame(sock: socket.socket) -> dict[str, Any] | None:
    """The configuration, or None if the host is gone already."""
    parser = wire.Parser()
    while (frame := parser.pop()) is None:
        try:
            data = sock.recv(65_536)
        except ConnectionResetError:
            return None
        if not data:
            return None
        parser.feed(data)
    return frame[0]


def _ended(pid: int) -> bool:
    """Collect dead children; True if the template is among them."""
    found = False
    while True:
        try:
            dead, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if dead == 0:
            return found
        found = found or dead == pid


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _end_descendants() -> None:
    """Kill children until there are none; each death hands the next generation to this process."""
    children = f"/proc/self/task/{threading.get_native_id()}/children"
    while True:
        try:
            with open(children) as file:
                for pid in file.read().split():
                    _kill(int(pid))
        except OSError:  # kernels without this file: the namespace, the signal to each parent, must do
            pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
