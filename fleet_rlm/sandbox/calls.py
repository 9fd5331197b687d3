"""Serve the tool calls of one guest: each is a task, sync tools run on this sandbox's own threads.

A pool per sandbox, not one for all: a tool may itself run a nested sandbox whose tools need threads, and a shared
bounded pool would then wait for itself. Every tool sees the context variables of the running `aexecute`. After `stop`
nothing starts: running async tools are cancelled, later calls and late answers are refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fleet_rlm.sandbox import values
from fleet_rlm.sandbox.base import ForkingTool, Sandbox, Tool

THREADS = 64  # a cell may well map a sync tool over this many items; threads are started on demand
ForkFor = Callable[[int, int], Awaitable[Sandbox]]  # (call, item) -> child
Lookup = Callable[[str], Tool | None]
Send = Callable[[dict[str, Any], values.Parcel | None], None]


class CallDesk:
    """The calls of one sandbox. `on_busy(True)` marks that the guest waits for the host, `on_busy(False)` the end."""

    def __init__(
        self, name: str, lookup: Lookup, send: Send, fork_for: ForkFor, on_busy: Callable[[bool], None]
    ) -> None:
        self._name = name
        self._lookup = lookup
        self._send = send
        self._fork_for = fork_for
        self._on_busy = on_busy
        self._tasks: set[asyncio.Task[None]] = set()
        self._context: contextvars.Context | None = None
        self._threads: ThreadPoolExecutor | None = None

    def open(self, context: contextvars.Context) -> None:
        """A cell starts; its tools see `context`."""
        self._context = context

    def stop(self) -> None:
        """The cell is over or being interrupted: cancel what runs, refuse what comes."""
        self._context = None
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """The sandbox is gone."""
        self.stop()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def on_call(self, header: dict[str, Any]) -> None:
        """Start serving one call of the guest."""
        number = header.get("id")
        name, args, kwargs = header.get("name"), header.get("args"), header.get("kwargs")
        if not (isinstance(number, int) and isinstance(args, list) and isinstance(kwargs, dict)):
            return  # forged by the code in the guest; there is no caller to answer
        tool = self._lookup(name) if isinstance(name, str) else None
        if self._context is None:
            self._refuse(number, RuntimeError(f"{name}: no cell is running, or it was stopped"))
        elif tool is None:
            self._refuse(number, NameError(f"the tool {name!r} is not available (any more)"))
        else:
            context = self._context.copy()
            serving = self._serve(number, tool, args, kwargs, context)
            task = asyncio.get_running_loop().create_task(serving, context=context)
            self._tasks.add(task)
            if len(self._tasks) == 1:
                self._on_busy(True)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._on_busy(False)

    def _refuse(self, number: int, error: BaseException) -> None:
        self._send({"t": "ret", "call": number, "error": values.failure(error)}, None)

    async def _serve(
        self, number: int, tool: Tool, args: list[Any], kwargs: dict[str, Any], context: contextvars.Context
    ) -> None:
        try:
            if isinstance(tool, ForkingTool):
                parcel = values.result_parcel(await self._forking(number, tool, args, kwargs))
            else:
                parcel = await self._plain(tool, args, kwargs, context)
        except asyncio.CancelledError:
            self._refuse(number, RuntimeError("the call was stopped"))
            raise
        except Exception as error:
            self._refuse(number, error)
        else:
            self._send({"t": "ret", "call": number, "value": parcel.head}, parcel)

    async def _plain(
        self, tool: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], context: contextvars.Context
    ) -> values.Parcel:
        args, kwargs = _by_name(tool, args, kwargs)
        if inspect.iscoroutinefunction(tool) or inspect.iscoroutinefunction(type(tool).__call__):
            return await self._encoded(await tool(*args, **kwargs))
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"fleet-tool-{self._name}")

        def work() -> values.Parcel | Awaitable[Any]:
            result = tool(*args, **kwargs)
            return result if inspect.isawaitable(result) else values.result_parcel(result)

        result = await asyncio.get_running_loop().run_in_executor(self._threads, context.copy().run, work)
        return result if isinstance(result, values.Parcel) else await self._encoded(await result)

    async def _encoded(self, result: Any) -> values.Parcel:
        if result is None or type(result) in (bool, int, float) or (type(result) is str and len(result) < 65_536):
            return values.result_parcel(result)
        return await asyncio.to_thread(values.result_parcel, result)

    async def _forking(self, number: int, tool: ForkingTool, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if not tool.batched:
            return await self._with_children(number, 0, tool, kwargs)
        if len(args) != 1 or not isinstance(args[0], list):
            raise TypeError("a batched tool takes a list of prompts")
        items = [self._with_children(number, i, tool, {"prompt": prompt, **kwargs}) for i, prompt in enumerate(args[0])]
        results: list[Any] = await asyncio.gather(*items, return_exceptions=True)
        return results

    async def _with_children(self, number: int, item: int, tool: ForkingTool, kwargs: dict[str, Any]) -> Any:
        children: list[Sandbox] = []

        async def fork() -> Sandbox:
            children.append(await self._fork_for(number, item))
            return children[-1]

        try:
            return await tool.handler(fork, **kwargs)
        finally:
            for child in children:
                await child.aclose()


def _by_name(tool: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional arguments by name, for a wrapper (dspy's) that takes `**kwargs` but declares a signature."""
    declared = getattr(tool, "__signature__", None)
    if not args or not isinstance(declared, inspect.Signature):
        return args, kwargs
    if any(one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) for one in declared.parameters.values()):
        return args, kwargs
    return [], dict(declared.bind(*args, **kwargs).arguments)
