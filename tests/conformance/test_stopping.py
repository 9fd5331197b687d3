"""A cell ends at its deadline, at an interrupt and when its waiter leaves; no tool starts afterwards."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from fleet_rlm.core.loop import submit
from fleet_rlm.sandbox.errors import SandboxDied
from tests.conformance.backends import Local


def test_a_deadline_interrupts_and_keeps_the_variables(local: Local) -> None:
    sandbox = local(timeout=0.2)
    result = sandbox.run("x = 5\nprint('kept')\nwhile True: pass")
    assert result.error is not None
    assert result.error.type == "CellTimeout"
    assert result.printed == "kept\n"
    assert sandbox.run("x").value == "5"


def test_waiting_for_a_tool_does_not_count_against_the_deadline(local: Local) -> None:
    async def slow() -> str:
        await asyncio.sleep(0.5)
        return "late"

    assert local(timeout=0.3, tools={"slow": slow}).run("slow()").value == "'late'"


def test_a_cell_that_swallows_interrupts_is_stopped_all_the_same(local: Local) -> None:
    swallow = "try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        n += 1"
    code = f"import time\nn = 0\nwhile n < 3:\n    {swallow}"
    result = local(timeout=0.2).run(code)
    assert result.error is not None
    assert result.error.type == "CellTimeout"


def test_a_cell_that_cannot_be_interrupted_is_killed_with_the_reason(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_rlm.sandbox.cells.GRACE_S", 0.4)
    sandbox = local(timeout=0.1)
    with pytest.raises(SandboxDied, match=r"ran for more than 0.1 s, and could not be interrupted"):
        sandbox.run("sum(range(10 ** 12))")
    with pytest.raises(SandboxDied):
        sandbox.run("1")


def test_an_interrupt_ends_the_cell(local: Local) -> None:
    started = threading.Event()
    sandbox = local(tools={"started": started.set})
    future = submit(sandbox.aexecute("started()\nwhile True: pass"))
    assert started.wait(10)
    sandbox.interrupt()
    error = future.result(10).error
    assert error is not None
    assert error.type == "KeyboardInterrupt"
    assert sandbox.run("1 + 1").value == "2"


@pytest.mark.parametrize("code", ["while True: pass", "wait()", "import time; time.sleep(60)"])
def test_cancelling_returns_at_once_and_leaves_a_usable_sandbox(local: Local, code: str) -> None:
    started = threading.Event()

    async def wait() -> None:
        await asyncio.sleep(60)

    sandbox = local(tools={"started": started.set, "wait": wait})
    sandbox.run("x = 1")
    future = submit(sandbox.aexecute(f"started()\n{code}"))
    assert started.wait(10)
    before = time.perf_counter()
    future.cancel()
    assert sandbox.run("x + 1").value == "2"
    assert time.perf_counter() - before < 1.5


def test_no_tool_starts_after_a_cancellation(local: Local) -> None:
    seen: list[int] = []
    first = threading.Event()

    async def ask(i: int) -> int:
        seen.append(i)
        first.set()
        await asyncio.sleep(60)
        return i

    sandbox = local(tools={"ask": ask})
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as pool: list(pool.map(ask, range(50)))"
    )
    future = submit(sandbox.aexecute(code))
    assert first.wait(10)
    future.cancel()
    assert sandbox.run("1 + 1").value == "2"
    assert len(seen) <= 2


def test_a_time_limit_of_the_codes_own_may_strike_while_a_tool_is_called(local: Local) -> None:
    sandbox = local(tools={"ask": lambda n: n * 10})
    code = """
import signal
def late(number, frame): raise TimeoutError
signal.signal(signal.SIGALRM, late)
struck = 0
for n in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0002)
        while True: assert ask(n) == 10 * n
    except TimeoutError:
        struck += 1
struck, signal.getsignal(signal.SIGALRM) is late
"""
    assert sandbox.run(code).value == "(300, True)"
    assert sandbox.run("[ask(n) for n in range(5)]").value == "[0, 10, 20, 30, 40]"


def test_a_timer_ends_with_the_cell_that_set_it(local: Local) -> None:
    sandbox = local()
    sandbox.run("import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.05)")
    assert sandbox.run("import time\ntime.sleep(0.1)\n'alive'").value == "'alive'"


def test_a_cell_can_be_interrupted_whatever_an_earlier_one_did_to_the_handler(local: Local) -> None:
    sandbox = local(timeout=0.2)
    sandbox.run("import signal\nkept = signal.signal(signal.SIGINT, signal.SIG_IGN)")
    result = sandbox.run("while True: pass")
    assert result.error is not None
    assert result.error.type == "CellTimeout"
    assert sandbox.run("callable(kept)").value == "True"


def test_a_signal_handler_that_calls_a_tool_never_waits_for_itself(local: Local) -> None:
    struck = threading.Event()
    sandbox = local(tools={"strike": struck.set, "wait": lambda: struck.wait(10), "ask": lambda n: n * 10})
    code = """
import os, signal
seen = []
def handle(number, frame):
    try:
        ask(1)
    except RuntimeError as error:
        seen.append(str(error))
    raise TimeoutError
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    wait()
except TimeoutError:
    strike()
seen
"""
    assert "while its thread waits" in (sandbox.run(code).value or "")
    assert sandbox.run("ask(2)").value == "20"
