"""The background loop: one per process, results and cancellation pass through, and clean-up is awaited."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import subprocess
import sys
import threading
import warnings

import pytest

from fleet_rlm.core.loop import background_loop, on_background_loop, run_sync, submit

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


class Work:
    """A coroutine that says when it began, waits to be let on, and cleans up in two steps."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.let_on = asyncio.Event()
        self.cleaned = False

    async def __call__(self) -> str:
        self.began.set()
        try:
            await self.let_on.wait()
            return "done"
        finally:
            await asyncio.sleep(0.02)
            self.cleaned = True


async def answer(value: int = 42) -> int:
    return value


async def fail() -> None:
    raise LookupError("not there")


def test_there_is_one_loop_and_it_is_not_the_callers() -> None:
    async def here() -> bool:
        return on_background_loop()

    assert background_loop() is background_loop()
    assert (asyncio.run(here()), run_sync(here())) == (False, True)
    assert not on_background_loop()


def test_results_and_errors_come_back() -> None:
    assert run_sync(answer()) == 42
    assert submit(answer()).result(10) == 42
    with pytest.raises(LookupError, match="not there"):
        run_sync(fail())


def test_work_runs_in_a_copy_of_the_callers_context() -> None:
    async def move() -> str:
        found = where.get()
        where.set("there")
        return found

    where.set("here")
    assert run_sync(move()) == "here"
    assert submit(move()).result(10) == "here"
    assert where.get() == "here"


def test_blocking_the_loop_from_itself_is_refused() -> None:
    async def outer() -> None:
        run_sync(answer())

    with pytest.raises(RuntimeError, match="await the async form instead"):
        run_sync(outer())


def interrupt_when(began: threading.Event) -> threading.Thread:
    def press() -> None:
        began.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    return pressing


def test_an_interrupt_cancels_the_work_and_waits_for_its_clean_up() -> None:
    work = Work()
    pressing = interrupt_when(work.began)
    with pytest.raises(KeyboardInterrupt):
        run_sync(work())
    assert work.cleaned
    pressing.join()
    assert run_sync(answer()) == 42


def test_an_interrupt_before_the_work_began_leaves_nothing_behind() -> None:
    held, let_go = threading.Event(), threading.Event()

    def occupy() -> None:
        held.set()
        let_go.wait(10)

    background_loop().call_soon_threadsafe(occupy)
    held.wait(10)
    work = Work()
    threading.Timer(0.05, lambda: (os.kill(os.getpid(), signal.SIGINT), let_go.set())).start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyboardInterrupt):
            run_sync(work())
        assert work.cleaned or not work.began.is_set()
        assert run_sync(answer()) == 42
        gc.collect()


def test_a_forked_process_gets_a_loop_of_its_own() -> None:
    program = """
import os
from fleet_rlm.core.loop import run_sync, background_loop
async def pid(): return os.getpid()
assert run_sync(pid()) == os.getpid()
child = os.fork()
if child == 0:
    os._exit(0 if run_sync(pid()) == os.getpid() else 1)
assert os.waitpid(child, 0)[1] == 0
print("both")
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "both\n", ran.stderr


def test_an_unfinished_piece_of_work_does_not_keep_the_process_alive() -> None:
    program = "import asyncio; from fleet_rlm.core.loop import submit; submit(asyncio.sleep(600))"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30, capture_output=True)
