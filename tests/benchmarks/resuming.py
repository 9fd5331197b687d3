"""Resuming a run whose model failed late, beside running it all again."""

from __future__ import annotations

import time
from typing import Any

import fleet_rlm
from tests.benchmarks.measure import Row, at_least, figure
from tests.benchmarks.runs import home
from tests.benchmarks.scripted import Engine

CALLS = 200
SHAPES = {
    "one cell of sub-queries": (2, [CALLS - 2]),
    "10 iterations of 19 sub-queries": (10, [19] * 10),
    "19 iterations of 10 sub-queries": (19, [10] * 18 + [1]),
}
BAR = 1_000


class Failing(Engine):
    """The model fails when its cells are used up."""

    def _next(self) -> Any:
        if len(self.asked) == len(self._replies):
            self.asked.append(time.perf_counter())
            raise ValueError("the model fails")
        return super()._next()


def rows(quick: bool) -> list[Row]:
    """Some shapes of a run whose model fails after 200 calls."""
    n = 1 if quick else 5
    with home():
        return [row for shape in SHAPES for row in _pair(shape, *SHAPES[shape], n)]


def _pair(shape: str, iterations: int, queries: list[int], n: int) -> list[Row]:
    cells = [
        f"replies = llm_query_batched([f'question {turn} {{i}}' for i in range({queries[turn]})])\nprint(len(replies))"
        if turn < len(queries)
        else f"length_{turn} = len(context)\nprint(length_{turn})"
        for turn in range(iterations)
    ]
    told, live = [], []
    for _ in range(n):
        failing = Failing(cells)
        begin = time.perf_counter()
        run = fleet_rlm.start("What?", context="x" * 100_000, lm=failing.lm(), mode="rlm_only", budget=CALLS + 10)
        try:
            run.wait()
        except fleet_rlm.ModelError:
            live.append(failing.asked[-1] - begin)
        assert run.usage.llm_calls == CALLS + 1, run.usage
        ending = Engine(["SUBMIT(answer='done')"])
        begin = time.perf_counter()
        assert run.resume(lm=ending.lm()).wait().answer == "done"
        told.append(ending.asked[0] - begin)
    resumed = figure(told)
    rate = CALLS / resumed.value
    bar = at_least(f">= {BAR:,} recorded calls a second (it is {rate:,.0f})", rate, BAR)
    return [
        Row(f"resume of a {CALLS}-call run ({shape}): to its first live call", "s", resumed, bars=[bar]),
        Row(f"the same {CALLS} calls made live, LM at zero latency", "s", figure(live)),
    ]
