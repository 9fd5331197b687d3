from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from fleet_rlm.core.errors import BudgetExhausted, FleetError, ModelError, RunStopped
from fleet_rlm.notebook import outcome
from fleet_rlm.notebook.outcome import ended, in_one_line, wait

from .staged import Staged


def both_forms(run: object) -> list[FleetError | None]:
    return [wait(run), asyncio.run(ended(run))]  # type: ignore[arg-type]


def test_a_run_with_an_answer_leaves_nothing_to_raise() -> None:
    assert both_forms(Staged().succeed("42")) == [None, None]


def test_a_run_without_an_answer_hands_over_why() -> None:
    error = ModelError("the key was refused")
    assert both_forms(Staged().fail(error)) == [error, error]


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    fault = Staged().fail(ZeroDivisionError("a fault"))
    with pytest.raises(ZeroDivisionError):
        wait(fault)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(ended(fault))


def test_a_cancelled_cell_stops_its_run_and_waits_for_the_end() -> None:
    stage = Staged()

    async def cell() -> FleetError | None:
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]
        return await ended(stage.run)

    assert isinstance(asyncio.run(cell()), RunStopped)
    assert stage.stops == 1
    assert stage.run.status == "stopped"


def test_a_second_cancellation_ends_the_wait() -> None:
    stage = Staged(deaf=True)

    async def cell() -> FleetError | None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        loop.call_soon(task.cancel)
        waiting = asyncio.ensure_future(ended(stage.run))

        def again() -> None:
            waiting.cancel()
            if stage.stops == 0:
                loop.call_soon(again)
            else:
                loop.call_soon(waiting.cancel)

        loop.call_soon(again)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            return await waiting

    error = asyncio.run(cell())
    assert isinstance(error, RunStopped)
    assert "still cleaning up" in str(error)


def interrupt_this_thread() -> None:
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]


def test_an_interrupt_stops_the_run_of_a_blocking_cell() -> None:
    stage = Staged()
    threading.Timer(0.05, interrupt_this_thread).start()
    assert isinstance(wait(stage.run), RunStopped)
    assert stage.stops == 1
    assert stage.run.status == "stopped"


def test_a_run_that_does_not_stop_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "CLEAN_UP_SECONDS", 0.01)
    stage = Staged(deaf=True)
    threading.Timer(0.05, interrupt_this_thread).start()
    error = wait(stage.run)
    assert "still cleaning up" in str(error)


def test_a_run_that_ends_as_it_is_interrupted_still_fails_the_cell() -> None:
    stage = Staged(deaf=True)

    async def cell() -> FleetError | None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(lambda: (task.cancel(), stage.succeed("42")))
        return await ended(stage.run)

    assert "interrupted when run r1 had just ended: ok" in str(asyncio.run(cell()))


def test_the_cell_shows_one_line_with_the_kind_of_the_error() -> None:
    error = BudgetExhausted("calls", "all calls are used")
    shown = in_one_line(error)
    assert type(shown) is BudgetExhausted
    assert shown.__cause__ is None
    assert shown._render_traceback_() == ["BudgetExhausted: all calls are used (trace: _run)"]  # type: ignore[attr-defined]
