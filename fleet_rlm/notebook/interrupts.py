"""The kernel interrupt, made to arrive when it can be obeyed: not in the middle of a start, and not minutes late."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deferred() -> Iterator[list[int]]:
    """Note interrupts in the list that is yielded, and raise none: for the start of a run in a blocking cell.

    A KeyboardInterrupt there could leave an import half done, or a run going on that nobody holds.
    """
    felt: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield felt  # Python raises KeyboardInterrupt in the main thread only
        return
    before = signal.signal(signal.SIGINT, lambda number, _frame: felt.append(number))
    try:
        yield felt
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def cancelling() -> Iterator[None]:
    """Let an interrupt cancel the calling task at once: for an awaiting cell.

    ipykernel 7.4 cancels such a cell too, but by a callback that does not wake the loop from its sleep: the cell ends
    when something else happens, up to minutes later. asyncio's own signal handling wakes it.
    """
    loop, task, before = asyncio.get_running_loop(), asyncio.current_task(), signal.getsignal(signal.SIGINT)
    assert task is not None
    try:
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or no main thread and so no interrupts here
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
