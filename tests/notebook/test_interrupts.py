from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from fleet_rlm.notebook.interrupts import cancelling, deferred


def test_an_interrupt_is_noted_and_not_raised_while_deferred() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred() as felt:
        signal.raise_signal(signal.SIGINT)
        assert felt == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_deferring_does_nothing_in_other_threads() -> None:
    seen: list[list[int]] = []

    def elsewhere() -> None:
        with deferred() as felt:
            seen.append(felt)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [[]]


def test_an_interrupt_wakes_a_sleeping_loop_and_cancels_the_task() -> None:
    """The handler that was there is a deaf one, as ipykernel's is while its loop sleeps."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    deaf = signal.getsignal(signal.SIGINT)
    started = threading.Event()

    async def cell() -> str:
        with cancelling():
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "cancelled"
        return "never"

    def interrupt() -> None:
        started.wait(10)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]

    thread = threading.Thread(target=interrupt)
    thread.start()
    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(cell()) == "cancelled"
        assert signal.getsignal(signal.SIGINT) is deaf
    finally:
        loop.close()
        signal.signal(signal.SIGINT, before)
        thread.join()


def test_in_another_thread_there_is_nothing_to_cancel_and_nothing_breaks() -> None:
    async def cell() -> str:
        with cancelling():
            return "done"

    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(cell())))
    thread.start()
    thread.join()
    assert results == ["done"]
