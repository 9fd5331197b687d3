"""The warm process of this host that sandboxes are forked from: one per tier and set of preloaded modules.

It is started on first use (about 50 ms; more with modules to preload) and ends with the host, however the host ends:
its warden sees the lifeline close, ends everything below and removes the root directory. Processes that slip away
from a sandbox become the template's children and are ended when any sandbox closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_rlm.sandbox import cgroup
from fleet_rlm.sandbox.base import IsolationReport
from fleet_rlm.sandbox.channel import Channel
from fleet_rlm.sandbox.errors import SandboxError, SandboxUnavailable
from fleet_rlm.sandbox.limits import Limits

TIERS = {"auto": "auto", "confined+ns": "namespaces", "confined": "base", "process": "none"}
START_S = 30.0  # importing pandas cold from a slow disk
WORKER = Path(__file__).parent / "guest" / "worker.py"
PREFIX_PARTS = ("bin", "lib", "lib32", "lib64", "share", "include", "ssl", "Library", "pyvenv.cfg")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "USER": "sandbox",
    "LOGNAME": "sandbox",
    "MPLBACKEND": "Agg",
    # native thread pools do not survive a fork, and children are forks
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
}


def readable() -> tuple[list[str], list[str]]:
    """What the guest may read of this Python, and its sys.path: standard library and site directories only."""
    prefixes = {os.path.realpath(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    home = os.path.realpath(os.path.expanduser("~"))
    granted = [os.path.join(prefix, part) for prefix in sorted(prefixes) for part in PREFIX_PARTS]
    paths = []
    for entry in sys.path:
        real = os.path.realpath(entry)
        site = os.path.basename(real) in ("site-packages", "dist-packages")
        inside = any(Path(real).is_relative_to(prefix) for prefix in prefixes if prefix != home)
        if entry and (site or inside) and not Path(home).is_relative_to(real):
            paths.append(entry)
            if site:
                granted.append(real)
    paths.append(sysconfig.get_path("stdlib"))
    granted += [os.path.realpath(sysconfig.get_path("stdlib")), str(WORKER.parent)]
    return list(dict.fromkeys(granted)), list(dict.fromkeys(paths))


@dataclass
class Birth:
    """A sandbox being forked, or forked."""

    number: int
    failed: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    exit_code: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Template:
    """One template process. Use `template_for`; methods run on the background loop."""

    def __init__(self, tier: str, preload: tuple[str, ...]) -> None:
        self.tier = tier
        self.preload = preload
        self.isolation = IsolationReport(tier)
        self.namespaces = False
        self.alive = False
        self.root = Path()
        self.groups: cgroup.Subtree | None = None  # where the kernel can limit its sandboxes as wholes
        self.sandbox_pids: set[int] = set()  # pids as this host sees them, of forks that are known to be sandboxes
        self.forking = asyncio.Lock()  # a fork whose pid is not yet known must not be mistaken for a stray
        self.unnamed = 0  # processes of such forks at most: each, and the one it may come from and that ends at once
        self._births: dict[int, Birth] = {}
        self._numbers = itertools.count(1)
        self._started: asyncio.Future[dict[str, Any]] | None = None
        self._channel: Channel | None = None
        self._lifeline: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The template's own process, as this host sees it."""
        return None if self._channel is None else self._channel.peer_pid

    async def start(self) -> None:
        """Start the process and wait until it is locked and warm.

        Raises:
            SandboxUnavailable: with the reasons, if the tier cannot be had.
        """
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            try:
                self._spawn()
            except OSError as error:
                self._started.set_result({"t": "failed", "reasons": [f"the worker could not be started: {error}"]})
        try:
            answer = await asyncio.wait_for(asyncio.shield(self._started), START_S)
        except TimeoutError:
            self.close()
            raise SandboxError(f"the sandbox template did not start within {START_S:g} s") from None
        if answer["t"] == "failed":
            raise SandboxUnavailable(self.tier, tuple(answer["reasons"]))

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        self._lifeline, held = socket.socketpair()
        self.root = Path(os.path.realpath(tempfile.gettempdir())) / f"fleet-sandbox-{secrets.token_hex(6)}"
        granted, paths = readable()
        try:
            above = cgroup.delegated()
            self.groups = None if above is None else cgroup.Subtree(above)
            # The worker is told when the *thread* that starts it ends, so this must be the loop's own thread.
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-X",
                    "utf8",
                    str(WORKER),
                    str(theirs.fileno()),
                    str(held.fileno()),
                    str(self.root),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**ENVIRONMENT, "HOME": str(self.root), "TMPDIR": str(self.root)},
                cwd="/",  # the worker makes its directory itself, and so removes it however early this host ends
                pass_fds=(theirs.fileno(), held.fileno()),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            held.close()
        _reap_when_ended(process)
        self._channel = Channel(ours, self._on_frame, self._on_end)
        self._channel.send(
            {
                "t": "config",
                "root": str(self.root),
                "lock": TIERS[self.tier],
                "read": granted,
                "path": paths,
                "preload": self.preload,
                "host": os.getpid(),
                "groups": None if self.groups is None else str(self.groups.path),
            }
        )

    def _on_frame(self, header: dict[str, Any], _parts: list[bytes]) -> None:
        kind = header["t"]
        if kind in ("ready", "failed") and self._started is not None and not self._started.done():
            if kind == "ready":
                self.alive = True
                self.namespaces = header["namespaces"]
                self.isolation = IsolationReport(header["tier"], header["guarantees"], tuple(header["missing"]))
            self._started.set_result(header)
        elif kind == "unforked" and (birth := self._births.get(header["id"])) is not None:
            if not birth.failed.done():
                birth.failed.set_result(header["error"])
        elif kind == "exited" and (birth := self._births.pop(header["id"], None)) is not None:
            birth.exit_code.set_result(header["code"])

    def _on_end(self, reason: str) -> None:
        self.alive = False
        _templates.pop((os.getpid(), self.tier, self.preload), None)
        if self._started is not None and not self._started.done():
            self._started.set_result({"t": "failed", "reasons": [f"the worker ended while starting ({reason})"]})
        for birth in self._births.values():
            if not birth.failed.done():
                birth.failed.set_result(reason)

    def birth(self) -> Birth:
        """News of a sandbox about to be forked; listen on its socket before asking for it."""
        birth = Birth(next(self._numbers))
        self._births[birth.number] = birth
        return birth

    def fork(self, birth: Birth, theirs: socket.socket, directory: str, limits: Limits) -> None:
        """Ask for a fork that serves `theirs`, which is closed here; the new sandbox announces itself on it."""
        request = {"t": "fork", "id": birth.number, "dir": directory}
        if self._channel is not None:
            self._channel.send(
                {**request, "memory": limits.memory, "file_size": limits.file_size}, fds=[theirs.detach()]
            )

    def children(self) -> list[int]:
        """Pids directly below the template, as this host sees them."""
        return [] if self.pid is None else child_pids(self.pid)

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """While a sandbox divides, what is not yet known as another sandbox is not held against its limit."""
        self.unnamed += 2
        try:
            yield
        finally:
            self.unnamed -= 2

    async def end_strays(self) -> None:
        """Kill processes that left their sandbox."""
        async with self.forking:
            for pid in self.children():
                if pid not in self.sandbox_pids:
                    kill(pid)

    def close(self) -> None:
        """End the process and everything forked from it; the warden removes the directory."""
        self.alive = False
        _templates.pop((os.getpid(), self.tier, self.preload), None)
        if self._channel is not None:
            self._channel.close()
        if self._lifeline is not None:
            self._lifeline.close()


_templates: dict[tuple[int, str, tuple[str, ...]], Template] = {}


def template_for(tier: str, preload: tuple[str, ...]) -> Template:
    """This process's template for a tier and a set of modules; not yet started perhaps.

    Raises:
        ValueError: for an unknown tier.
        SandboxUnavailable: if this machine cannot confine a process.
    """
    if tier not in TIERS:
        raise ValueError(f"tier must be one of {', '.join(TIERS)}, not {tier!r}")
    if sys.platform != "linux":
        raise SandboxUnavailable(tier, (f"local sandboxes need Linux, this is {sys.platform}",))
    from fleet_rlm.sandbox.guest import lockdown  # has no meaning, and no import, elsewhere than on Linux

    if tier != "process" and (reasons := lockdown.unconfinable()):
        raise SandboxUnavailable(tier, reasons)
    for key in [key for key in _templates if key[0] != os.getpid()]:
        _templates.pop(key)  # of the process this one was forked from, whose templates they stay
    key = (os.getpid(), tier, preload)
    if key not in _templates:
        _templates[key] = Template(tier, preload)
    return _templates[key]


def _reap_when_ended(process: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()
    handle = os.pidfd_open(process.pid)

    def ended() -> None:
        loop.remove_reader(handle)
        os.close(handle)
        process.wait()

    loop.add_reader(handle, ended)


def child_pids(pid: int) -> list[int]:
    """Pids of a process's children; empty if it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except OSError:
        return found
    return found


def kill(pid: int) -> None:
    """SIGKILL, to a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
