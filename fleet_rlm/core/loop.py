"""One background event loop per process, and the bridges onto it.

Every model call, sandbox and child of every run is a coroutine on this loop, so that stopping a run is cancelling a
task. Callers live elsewhere (a kernel's loop, a plain thread): `bridge` awaits from another loop, `run_sync` blocks a
thread, and both pass cancellation through. A process that forks gets a fresh loop on first use.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process, started in a daemon thread on first use."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="fleet-rlm", daemon=True).start()
            _loops.clear()
            _loops[os.getpid()] = loop
        return loop


def on_background_loop() -> bool:
    """True when the caller already runs on the background loop."""
    try:
        return asyncio.get_running_loop() is _loops.get(os.getpid())
    except RuntimeError:
        return False


def submit(coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Start a coroutine on the background loop with a copy of the caller's context."""
    return asyncio.run_coroutine_threadsafe(coroutine, background_loop())


async def bridge(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine that must run on the background loop, from whichever loop the caller is on.

    Cancelling the caller cancels the coroutine, and the caller goes on only when its clean-up has finished.
    """
    if on_background_loop():
        return await coroutine
    finished = asyncio.Event()
    here = asyncio.get_running_loop()
    task: list[asyncio.Task[T]] = []

    async def watched() -> T:
        task.append(asyncio.current_task())  # type: ignore[arg-type]
        try:
            return await coroutine
        finally:
            here.call_soon_threadsafe(finished.set)

    future = submit(watched())
    try:
        return await asyncio.shield(asyncio.wrap_future(future))
    except asyncio.CancelledError:
        if task and not future.done():
            background_loop().call_soon_threadsafe(task[0].cancel)
            await finished.wait()
        else:
            future.cancel()
        raise


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and block this thread for its result.

    KeyboardInterrupt in the waiting thread cancels the coroutine, waits for its clean-up, and is raised again.

    Raises:
        RuntimeError: when called on the background loop itself, where blocking would stop everything.
    """
    if on_background_loop():
        coroutine.close()
        raise RuntimeError("this call would block fleet-rlm's own event loop; await the async form instead")
    finished = threading.Event()

    async def watched() -> T:
        try:
            return await coroutine
        finally:
            finished.set()

    future = submit(watched())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        finished.wait(timeout=10)  # a clean-up that hangs must not take the kernel's interrupt away
        raise


def sync_face(method: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """The blocking name of an async method: `execute = sync_face(aexecute)`."""

    @functools.wraps(method)
    def blocking(*args: P.args, **kwargs: P.kwargs) -> T:
        async def call() -> T:
            return await method(*args, **kwargs)

        return run_sync(call())

    return blocking
