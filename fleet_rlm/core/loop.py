"""One background event loop per process, and the ways onto it.

Every model call, sandbox and child of every run is a coroutine on this loop, so that stopping a run is cancelling a
task. Callers live elsewhere (a kernel's loop, a plain thread): `submit` starts work from anywhere, `run_sync` blocks a
thread for it and passes an interrupt through. A process that forks gets a fresh loop on first use.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

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


class _Work(Generic[T]):
    """A coroutine on the background loop, over only when its clean-up is, even if it was cancelled.

    The waiting thread sleeps on a bare lock: a concurrent Future costs more than many a coroutine waited for here.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None
        self._started = False
        self._result: T
        self._error: BaseException | None = None
        self._over = threading.Lock()
        self._over.acquire()

    def begin(self) -> None:
        """Start it with a copy of the caller's context."""
        background_loop().call_soon_threadsafe(self._begin)

    def cancel(self) -> None:
        """Ask it to end; safe from any thread and at any moment, for the loop reads this after `begin`."""
        background_loop().call_soon_threadsafe(self._cancel)

    def wait(self, seconds: float = -1) -> None:
        """Block until it is over, or for so many seconds."""
        self._over.acquire(timeout=seconds)

    def result(self) -> T:
        """What it returned, once it is over; or raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def _begin(self) -> None:
        self._task = background_loop().create_task(self._whole())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if not self._started:
            self._coroutine.close()
            self._over.release()

    async def _whole(self) -> None:
        self._started = True
        try:
            self._result = await self._coroutine
        except asyncio.CancelledError:
            self._error = concurrent.futures.CancelledError()
        except BaseException as error:  # whatever it is belongs to the waiting thread
            self._error = error
        self._over.release()


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and block this thread for its result.

    KeyboardInterrupt in the waiting thread cancels the coroutine, waits for its clean-up, and is raised again.

    Raises:
        RuntimeError: when called on the background loop itself, where blocking would stop everything.
    """
    if on_background_loop():
        coroutine.close()
        raise RuntimeError("this call would block fleet-rlm's own event loop; await the async form instead")
    work = _Work(coroutine)
    try:
        work.begin()  # inside: an interrupt that arrives right after it must cancel, too
        work.wait()
    except KeyboardInterrupt:
        work.cancel()
        work.wait(10)  # a clean-up that hangs must not take the kernel's interrupt away
        raise
    try:
        return work.result()
    finally:
        del work  # or the error's traceback would hold it, and it the error
