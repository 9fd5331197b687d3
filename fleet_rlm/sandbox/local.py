"""A sandbox on this machine: a confined process, forked in milliseconds from a warm template.

Promises: generated code reads system and Python directories only, writes in its own directory only, has no network
and a clean environment; children are forks with the parent's variables; nothing outlives this process. It refuses to
start where that cannot be had. Not promised: protection from kernel bugs, or from the tools you hand to the code.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import itertools
import keyword
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet_rlm.sandbox import artifacts, family, values
from fleet_rlm.sandbox.base import (
    Capabilities,
    CellResult,
    Checkpoint,
    ForkingTool,
    IsolationReport,
    OnOutput,
    Sandbox,
    Tool,
)
from fleet_rlm.sandbox.calls import CallDesk
from fleet_rlm.sandbox.cells import Cell, result_of
from fleet_rlm.sandbox.errors import SandboxBusy, SandboxClosed, SandboxDied, SandboxError, ValueNotSendable
from fleet_rlm.sandbox.face import BlockingFace
from fleet_rlm.sandbox.limits import Limits
from fleet_rlm.sandbox.link import Link, born
from fleet_rlm.sandbox.template import Template, template_for
from fleet_rlm.sandbox.watchdog import watch

RESERVED = {"SUBMIT", "display", "__builtins__"}
INLINE = 65_536  # characters or bytes encoded on the loop itself; more goes to a thread
REMEMBER = 65_536  # bytes from which a mutable value is sent once only
_numbers = itertools.count(1)


class LocalSandbox(BlockingFace):
    """One confined Python process.

    Args:
        tier: "auto" (the strongest there is), "confined+ns", "confined", or "process": a separate process with a
            clean environment and no confinement, for those who say so.
        timeout: seconds a cell may compute, by default; waiting for host tools does not count. None for no limit.
        memory_mb: address space of each process, beyond what the template holds. None for no limit.
        file_mb: size of any one file it writes. None for no limit.
        max_processes: processes it may have at once.
        cpu_s: seconds of processor time a cell may use, over all its processes. None for no limit.
        disk_mb: room its files, and its children's, may take. None for no limit.
        preload: modules to have warm ("numpy", "pandas", "pyarrow"); by default what the first value needs.
        keep_files: directory that artifacts are copied to; by default they live as long as the sandbox.
    """

    capabilities = Capabilities(
        fork=True,
        interrupt=True,
        checkpoint=True,
        concurrent_tools=True,
        arrow=True,
        rich_display=True,
        packages=True,
    )

    def __init__(
        self,
        *,
        tier: str = "auto",
        timeout: float | None = 300.0,
        memory_mb: int | None = 8192,
        file_mb: int | None = 4096,
        max_processes: int = 256,
        cpu_s: float | None = 1200.0,
        disk_mb: int | None = 8192,
        tools: dict[str, Tool] | None = None,
        output_fields: list[dict[str, Any]] | None = None,
        preload: tuple[str, ...] | None = None,
        keep_files: Path | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name or f"sandbox-{next(_numbers)}", tools=tools, output_fields=output_fields)
        self.tier = tier
        self.timeout = timeout
        self.limits = Limits(
            memory=memory_mb and memory_mb << 20,
            file_size=file_mb and file_mb << 20,
            processes=max_processes,
            cpu=cpu_s,
            disk=disk_mb and disk_mb << 20,
        )
        self.preload = preload
        self._keep = keep_files
        self._parent: LocalSandbox | None = None
        self._children: set[LocalSandbox] = set()
        self._checkpoints: set[family.LocalCheckpoint] = set()
        self._unborn: dict[int, Link] = {}
        self._template: Template | None = None
        self._link: Link | None = None
        self._place: tuple[str, ...] = ()  # this sandbox's directory, as names below the template's root
        self._closed = False
        self._starting = asyncio.Lock()
        self._cell: Cell | None = None
        self._sent = values.Sent()
        self._registered: dict[str, str] = {}
        self._child_numbers = itertools.count(1)
        self._desk = CallDesk(
            self.name, lambda name: self.tools.get(name), self._send_result, self._fork_for_call, self._pause_clock
        )

    # ---- life

    @property
    def isolation(self) -> IsolationReport:
        """What protects the host. Raises SandboxError before the start."""
        if self._template is None:
            raise SandboxError(f"{self.name} has not started; what protects it is known afterwards")
        walls = self._template.isolation
        if not walls.guarantees:
            return walls
        grouped = self._template.groups is not None
        guarantees = {**walls.guarantees, "limits": self.limits.guarantee(grouped)}
        return dataclasses.replace(walls, guarantees=guarantees, missing=(*walls.missing, self.limits.missing(grouped)))

    @property
    def pid(self) -> int | None:
        """The guest's process, once started."""
        return None if self._link is None else self._link.pid

    @property
    def workdir(self) -> Path:
        """The cells' current directory, once started."""
        root = Path() if self._template is None else self._template.root
        return root.joinpath(*self._place, "work")

    @property
    def place(self) -> tuple[str, ...]:
        """Its directory, as names below the template's root."""
        return self._place

    @property
    def cell(self) -> Cell | None:
        """The cell that runs."""
        return self._cell

    async def astart(self) -> None:
        """Fork from the template. Raises SandboxUnavailable, SandboxClosed, SandboxDied."""
        if self._closed:
            raise SandboxClosed(self.name)
        async with self._starting:
            if self._link is not None:
                return
            template = template_for(self.tier, self.preload or ())
            await template.start()
            directory = f"{os.getpid()}-{next(_numbers)}"
            ours, theirs = socket.socketpair()
            async with template.forking:
                birth = template.birth()
                link = Link(ours, self._on_message, self._on_end, birth.exit_code)
                birth.failed.add_done_callback(lambda failed: link.fail(failed.result()))
                template.fork(birth, theirs, directory, self.limits)
                await born(link)
                self._adopt(link, template, (directory,))

    def _adopt(self, link: Link, template: Template, place: tuple[str, ...]) -> None:
        self._link, self._template, self._place = link, template, place
        template.sandbox_pids.add(link.pid)
        link.join(template.groups, self.limits)
        watch(self, link, template)

    def _on_end(self, _reason: str) -> None:
        self._desk.stop()

    async def aclose(self) -> None:
        """End the guest and its children and remove its directory."""
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(*(child.aclose() for child in list(self._children)))
        await asyncio.gather(*(checkpoint.aclose() for checkpoint in list(self._checkpoints)))
        self._desk.close()
        if self._parent is not None:
            self._parent._children.discard(self)
        if self._link is None or self._template is None:
            return
        await self._link.close()
        self._template.sandbox_pids.discard(self._link.pid)
        await self._template.end_strays()
        from fleet_rlm.sandbox.guest.removal import remove

        await asyncio.to_thread(remove, str(self._template.root), *self._place)
        if self._keep is None:
            await asyncio.to_thread(remove, str(self._template.root), self._kept_name())

    async def _live(self) -> Link:
        if self._closed:
            raise SandboxClosed(self.name)
        if self._link is None:
            await self.astart()
        assert self._link is not None
        if self._link.ended.done():
            raise SandboxDied(self._link.ended.result())
        return self._link

    # ---- values

    async def aput(self, name: str, value: Any) -> None:
        """Bind a variable; see `Sandbox.aput`."""
        self._check_name(name)
        if self._link is None and self.preload is None:
            self.preload = values.modules_for(value)
        link = await self._live()
        slot = self._sent.slot(value)
        if slot is not None and not values.may_change(value):
            header, _ = await link.ask({"t": "put", "name": name, "value": None, "slot": slot})
        else:
            parcel = await self._parcel(name, value)
            large = parcel.size >= (values.SMALL if type(value) in (str, bytes) else REMEMBER)
            slot = slot or (self._sent.assign() if large else None)
            request = {"t": "put", "name": name, "value": parcel.head, "slot": slot}
            header, _ = await link.ask(request, parcel.parts, parcel.fds)
            if slot is not None and not header.get("error"):
                self._sent.remember(value, slot)
        if error := header.get("error"):
            raise ValueNotSendable(name, values.type_name(value), f"{error['type']}: {error['message']}")

    async def _parcel(self, name: str, value: Any) -> values.Parcel:
        if value is None or type(value) in (bool, int, float):
            return values.parcel(name, value)
        if type(value) in (str, bytes) and len(value) <= INLINE:
            return values.parcel(name, value)
        return await asyncio.to_thread(values.parcel, name, value)

    def _check_name(self, name: str) -> None:
        if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED or name in self.tools:
            raise ValueNotSendable(name, "a variable", "its name is not a Python name, or belongs to the sandbox")

    async def aget(self, name: str) -> Any:
        """Read a variable. Raises ValueNotReadable."""
        header, parts = await (await self._live()).ask({"t": "get", "name": name})
        return await asyncio.to_thread(values.received, name, header, parts)

    # ---- cells

    async def aexecute(
        self,
        code: str,
        *,
        variables: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> CellResult:
        """Run a cell; see `Sandbox.aexecute`. `timeout` None means this sandbox's own."""
        if self._link is None and self.preload is None and variables:
            self.preload = values.modules_for(*variables.values())
        link = await self._live()
        if self._cell is not None and self._cell.stopping:
            await self._cell.over()
        if self._cell is not None:
            raise SandboxBusy(self.name)
        cell = self._cell = Cell(link, self.timeout if timeout is None else timeout, on_output, self._desk.stop)
        try:
            bind, small = await self._bindings(variables) if variables else ([], {})
            request = {"t": "exec", "code": code, "fields": self.output_fields, "stream": on_output is not None}
            self._desk.open(contextvars.copy_context())
            header, _ = await cell.run({**request, "bind": bind, "set": small, **self._tool_changes()})
        except BaseException:
            if not cell.stopping:
                self._cell = None
            else:
                cell.when_over(functools.partial(setattr, self, "_cell", None))
            self._desk.stop()
            raise
        self._cell = None
        self._desk.stop()
        files = await self._collect(header["files"]) if header.get("files") else []
        return result_of(header, cell, files)

    async def _bindings(self, variables: Mapping[str, Any]) -> tuple[list[tuple[str, int]], dict[str, Any]]:
        bind: list[tuple[str, int]] = []
        small: dict[str, Any] = {}
        for name, value in variables.items():
            slot = self._sent.slot(value)
            if slot is not None:
                self._check_name(name)
                bind.append((name, slot))
            elif value is None or type(value) in (bool, int, float) or (type(value) is str and len(value) <= 4096):
                self._check_name(name)
                small[name] = value
            else:
                await self.aput(name, value)
        return bind, small

    def _tool_changes(self) -> dict[str, Any]:
        wanted = {name: _kind(tool) for name, tool in self.tools.items()}
        if wanted == self._registered:
            return {}
        for name in wanted:
            if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
                raise SandboxError(f"a tool cannot be called {name!r}: it must be a free Python name")
        add = {name: kind for name, kind in wanted.items() if self._registered.get(name) != kind}
        drop = [name for name in self._registered if name not in wanted]
        self._registered = wanted
        return {"add": add, "drop": drop}

    async def _collect(self, names: Any) -> list[Any]:
        if not isinstance(names, list) or self._template is None:
            return []
        keep = self._keep or self._template.root / self._kept_name()
        names = [name for name in names if isinstance(name, str)]
        source = (*self._place, "work", "artifacts")
        return await asyncio.to_thread(artifacts.collect, self._template.root, source, names, keep)

    def _kept_name(self) -> str:
        """A directory beside the sandboxes' own, which no sandbox can reach."""
        return f"{'-'.join(self._place)}.kept"

    async def ainterrupt(self) -> None:
        """Interrupt the running cell; it ends with KeyboardInterrupt, or the sandbox with SandboxDied."""
        if self._cell is not None:
            self._cell.stop()

    def _pause_clock(self, busy: bool) -> None:
        if self._cell is not None:
            self._cell.pause(busy)

    # ---- messages of the guest

    def _on_message(self, header: dict[str, Any]) -> None:
        kind = header["t"]
        if kind == "call":
            self._desk.on_call(header)
        elif kind == "out" and self._cell is not None:
            self._cell.on_chunks(header.get("c"))
        elif kind == "unforked":
            unborn = self._unborn.get(header.get("id", 0))
            if unborn is not None:
                unborn.fail(f"the fork failed: {header.get('error')}")

    def _send_result(self, header: dict[str, Any], parcel: values.Parcel | None) -> None:
        if self._link is not None:
            self._link.send(header, parcel.parts if parcel else (), parcel.fds if parcel else ())

    # ---- children

    async def _idle(self) -> Link:
        """The link, between cells. Raises SandboxBusy."""
        link = await self._live()
        if self._cell is not None:
            raise SandboxBusy(self.name)
        return link

    async def afork(self, *, workdir_name: str | None = None) -> LocalSandbox:
        """A child between cells: a fork, or a fresh sandbox where threads of the code are alive (`started_by`)."""
        return await family.fork(self, workdir_name)

    async def acheckpoint(self) -> family.LocalCheckpoint:
        """Keep the variables; see `Sandbox.acheckpoint`."""
        return await family.checkpoint(self)

    async def arestore(self, checkpoint: Checkpoint) -> LocalSandbox:
        """A sandbox with a checkpoint's variables and a copy of its predecessor's files (up to 64 MB)."""
        if not isinstance(checkpoint, family.LocalCheckpoint):
            raise SandboxError(f"a {type(checkpoint).__name__} is not a checkpoint of a local sandbox")
        return await checkpoint.restored()

    def _descendant(self) -> tuple[int, LocalSandbox]:
        """A sandbox like this one, to be given a process; closed with this one."""
        number = next(self._child_numbers)
        child = LocalSandbox(
            tier=self.tier,
            timeout=self.timeout,
            tools=self.tools,
            output_fields=self.output_fields,
            preload=self.preload,
            keep_files=self._keep,
            name=f"{self.name}.{number}",
        )
        child.limits = self.limits
        child._parent = self
        self._children.add(child)
        return number, child

    async def _fork_for_call(self, call: int, item: int) -> Sandbox:
        return await family.fork_in_call(self, self._unborn, call, item)


def _kind(tool: Tool) -> str:
    if not isinstance(tool, ForkingTool):
        return "plain"
    return "batched" if tool.batched else "forking"
