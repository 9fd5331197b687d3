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
    """A coroutine on the background loop whose `future` is done only when its clean-up is, even if it was cancelled."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> None:
        """Start it with a copy of the caller's context."""
        background_loop().call_soon_threadsafe(self._begin)

    def cancel(self) -> None:
        """Ask it to end; safe from any thread and at any moment, for the loop reads this after `begin`."""
        background_loop().call_soon_threadsafe(self._cancel)

    def _begin(self) -> None:
        self._task = background_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        else:
            self._coroutine.close()
            self.future.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.cancel()
            self.future.set_running_or_notify_cancel()
        elif (error := task.exception()) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())


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
        return work.future.result()
    except KeyboardInterrupt:
        work.cancel()
        # A clean-up that hangs must not take the kernel's interrupt away.
        concurrent.futures.wait([work.future], timeout=10)
        raise
