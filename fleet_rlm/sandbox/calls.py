"""Serve the tool calls of one guest: async tools as tasks of the loop, sync tools on this sandbox's own threads.

A sync tool may block for as long as it likes, so it never runs on the loop; its thread writes the answer itself, and
the loop learns of it afterwards. A pool per sandbox, not one for all: a tool may itself run a nested sandbox whose
tools need threads, and a shared bounded pool would then wait for itself. Every tool sees the context variables of the
running `aexecute`. After `stop` nothing starts: running async tools are cancelled, later calls and late answers are
refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fleet_rlm.sandbox import values
from fleet_rlm.sandbox.base import ForkingTool, Sandbox, Tool

THREADS = 64  # a cell may well map a sync tool over this many items; threads are started on demand
ForkFor = Callable[[int, int], Awaitable[Sandbox]]  # (call, item) -> child
Lookup = Callable[[str], Tool | None]
Send = Callable[[dict[str, Any], values.Parcel | None], None]


@dataclass(eq=False)
class _Threaded:
    """A call of a sync tool that has not been answered."""

    number: int
    tool: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    context: contextvars.Context


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
        self._threaded: set[_Threaded] = set()
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
        for call in list(self._threaded):
            if self._claimed(call):
                self._refuse(call.number, RuntimeError("the call was stopped"))

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
            return
        if tool is None:
            self._refuse(number, NameError(f"the tool {name!r} is not available (any more)"))
            return
        context = self._context.copy()
        if not (self._tasks or self._threaded):
            self._on_busy(True)
        if isinstance(tool, ForkingTool):
            self._begin(number, functools.partial(self._forking, number, tool, args, kwargs), context)
        elif inspect.iscoroutinefunction(tool) or inspect.iscoroutinefunction(type(tool).__call__):
            self._begin(number, functools.partial(_called, tool, args, kwargs), context)
        else:
            self._hand_over(_Threaded(number, tool, args, kwargs, context))

    def _settle(self) -> None:
        if not (self._tasks or self._threaded):
            self._on_busy(False)

    def _refuse(self, number: int, error: BaseException) -> None:
        self._send({"t": "ret", "call": number, "error": values.failure(error)}, None)

    # ---- on the loop

    def _begin(self, number: int, work: Callable[[], Awaitable[Any]], context: contextvars.Context) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(number, work), context=context)
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._done, number))

    def _done(self, number: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # also one that never came to its first step, whose caller waits all the same
            self._refuse(number, RuntimeError("the call was stopped"))
        self._settle()

    async def _serve(self, number: int, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            parcel = await self._encoded(await work())
        except Exception as error:
            self._refuse(number, error)
        else:
            self._send({"t": "ret", "call": number, "value": parcel.head}, parcel)

    async def _encoded(self, result: Any) -> values.Parcel:
        if result is None or type(result) in (bool, int, float) or (type(result) is str and len(result) < 65_536):
            return values.result_parcel(result)
        return await asyncio.to_thread(values.result_parcel, result)

    # ---- on a thread

    def _hand_over(self, call: _Threaded) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"fleet-tool-{self._name}")
        self._threaded.add(call)
        self._threads.submit(call.context.run, self._work, call, asyncio.get_running_loop())

    def _work(self, call: _Threaded, loop: asyncio.AbstractEventLoop) -> None:
        if call not in self._threaded:
            return  # stopped before its turn came
        try:
            args, kwargs = _by_name(call.tool, call.args, call.kwargs)
            result = call.tool(*args, **kwargs)
            if inspect.isawaitable(result):
                loop.call_soon_threadsafe(self._go_on, call, result)
                return
            parcel = values.result_parcel(result)
        except BaseException as error:  # a tool that calls sys.exit() must not leave the code without an answer
            if self._claimed(call):
                self._refuse(call.number, error)
        else:
            if self._claimed(call):
                self._send({"t": "ret", "call": call.number, "value": parcel.head}, parcel)
            else:
                parcel.discard()
        loop.call_soon_threadsafe(self._settle)

    def _claimed(self, call: _Threaded) -> bool:
        """True for the first who asks, and he answers: the thread, or the loop when the cell is stopped."""
        try:
            self._threaded.remove(call)
        except KeyError:
            return False
        return True

    def _go_on(self, call: _Threaded, result: Awaitable[Any]) -> None:
        """What a plain function returned turns out to be a coroutine's work."""
        if self._claimed(call):
            self._begin(call.number, lambda: result, call.context.copy())
        elif inspect.iscoroutine(result):
            result.close()

    # ---- with children

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


async def _called(tool: Callable[..., Awaitable[Any]], args: list[Any], kwargs: dict[str, Any]) -> Any:
    args, kwargs = _by_name(tool, args, kwargs)
    return await tool(*args, **kwargs)


def _by_name(tool: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional arguments by name, for a wrapper (dspy's) that takes `**kwargs` but declares a signature."""
    declared = getattr(tool, "__signature__", None)
    if not args or not isinstance(declared, inspect.Signature):
        return args, kwargs
    if any(one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) for one in declared.parameters.values()):
        return args, kwargs
    return [], dict(declared.bind(*args, **kwargs).arguments)
