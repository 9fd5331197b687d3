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
