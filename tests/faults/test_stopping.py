"""B3, B4, B5: streaming breaks nothing, stopping stops everything, and no cell holds up the loop."""

from __future__ import annotations

import asyncio
import threading
import time

import dspy
import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import RunStopped
from tests.faults.model import CONTEXT, model
from tests.twins.replies import Gate, Reply, rate_limited
from tests.twins.scripts import rlm_action


class Asking(dspy.Module):
    """A dspy program with a run inside."""

    def __init__(self, lm: str) -> None:
        super().__init__()
        self.lm = lm

    async def aforward(self) -> dspy.Prediction:
        run = await fleet.arun("What?", context=CONTEXT, lm=self.lm, mode="rlm_only")
        return dspy.Prediction(answer=run.answer)


def test_a_run_inside_a_streamed_dspy_program_still_gets_its_sub_queries_answered() -> None:
    cell = "one, two = llm_query_batched(['a', 'b'])\nSUBMIT(answer=[one, two, llm_query('c')])"

    async def streamed(lm: str) -> list[object]:
        return [part async for part in dspy.streamify(Asking(lm), is_async_program=True)()]

    with model(rlm_action=rlm_action("ask", cell), bare="fine") as (server, lm):
        parts = asyncio.run(streamed(lm))
    assert parts[-1].answer == "['fine', 'fine', 'fine']"  # type: ignore[attr-defined]
    assert server.calls == 4


def test_stop_interrupts_the_wait_before_a_retry() -> None:
    with model(rlm_action=rlm_action("ask", "llm_query('q')"), bare=rate_limited(retry_after=60)) as (server, lm):
        run = fleet.start("What?", context=CONTEXT, lm=lm, mode="rlm_only")
        server.wait_for(2)
        server.wait_idle()
        begin = time.monotonic()
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)
        assert time.monotonic() - begin < 10
        assert server.calls == 2


def test_queries_queued_behind_others_are_never_sent_after_stop() -> None:
    gate = Gate()
    cell = "llm_query_batched([f'question {i}' for i in range(100)])"
    with model(rlm_action=rlm_action("ask", cell), bare=Reply("late", gate=gate)) as (server, lm):
        run = fleet.start("What?", context=CONTEXT, lm=lm, mode="rlm_only")
        server.wait_for(5)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)
        calls = server.calls
        gate.open()
        server.wait_idle()
        assert server.calls == calls < 101


def test_a_cell_that_never_ends_holds_up_neither_other_runs_nor_the_callers_loop() -> None:
    looping = threading.Event()

    async def beside(endless: str, quick: str) -> str:
        stuck = await asyncio.to_thread(fleet.start, "What?", context=CONTEXT, lm=endless, mode="rlm_only")
        stuck.log.subscribe(lambda event: looping.set() if getattr(event, "code", None) else None, since=0)
        await asyncio.to_thread(looping.wait, 30)
        run = await fleet.arun("What?", context=CONTEXT, lm=quick, mode="rlm_only")
        assert stuck.status == "running"
        stuck.stop()
        with pytest.raises(RunStopped):
            await stuck
        return str(run.answer)

    with model(rlm_action=rlm_action("loop", "while True: pass")) as (_, endless):
        with model(rlm_action=rlm_action("submit", "SUBMIT(answer='done')")) as (_, quick):
            assert asyncio.run(beside(endless, quick)) == "done"
