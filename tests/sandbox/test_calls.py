"""The call desk: whoever called gets an answer, whenever the cell is stopped."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from fleet_rlm.sandbox.calls import CallDesk


def test_a_call_that_was_stopped_before_its_first_step_is_answered() -> None:
    answers: list[dict[str, Any]] = []

    async def never() -> None:
        raise AssertionError("it was stopped before it began")

    async def fork(call: int, item: int) -> Any:
        raise AssertionError("no child was asked for")

    async def stopped() -> None:
        idle = asyncio.Event()

        def on_busy(is_busy: bool) -> None:
            if not is_busy:
                idle.set()

        desk = CallDesk("s", {"never": never}.get, lambda answer, parcel: answers.append(answer), fork, on_busy)
        desk.open(contextvars.copy_context())
        desk.on_call({"id": 7, "name": "never", "args": [], "kwargs": {}})
        desk.stop()
        await idle.wait()

    asyncio.run(asyncio.wait_for(stopped(), 10))
    assert [(answer["call"], answer["error"]["message"]) for answer in answers] == [(7, "the call was stopped")]
