"""Limits that were changed while a run went on are in its log, and hold where it is resumed or branched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import BudgetExhausted, ModelError, RunStopped
from fleet_rlm.core.report import html_page
from fleet_rlm.core.report.lines import plain_text
from tests.twins.lm_server import LMServer, Script
from tests.twins.replies import Gate, Reply, refused_key
from tests.twins.running import BIG, FIND, model
from tests.twins.scripts import Prompt, answer, by_role, react_step, rlm_action

ASK = "for i in range(9):\n    try: print(llm_query(f'q{i}'))\n    except Exception as e: print('refused', e); break"


@contextmanager
def failed_with(limit: dict[str, Any], *later: str, cell: str = FIND) -> Iterator[tuple[LMServer, fleet.Run]]:
    """A run whose limits were changed during its first call, and whose third call failed."""
    gate = Gate()
    first = Reply(str(rlm_action("-", cell)), gate=gate)
    cells = [first, rlm_action("-", "print(1)"), refused_key(), *(rlm_action("-", code) for code in later)]
    with model(rlm_action=cells, rlm_extract=answer(answer="early"), bare="ok") as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only", budget=50)
        server.wait_for(1)
        if "span" in limit:
            limit["span"] = next(span.id for span in run.tree.spans.values() if span.type == limit["span"])
        run.limit(**limit)
        gate.open()
        with pytest.raises(ModelError):
            run.wait(30)
        yield server, run


def test_a_limit_that_was_lowered_live_holds_in_the_resumed_run() -> None:
    with failed_with({"calls": 5}, "print(2)", "print(3)") as (_, run):
        again = fleet.resume(run.id).wait(30)
    assert (again.status, again.answer) == ("exhausted", "early")
    assert again.budget.spent.calls == 5
    (resumed,) = [event for event in again.events() if isinstance(event, ev.RunResume)]
    assert resumed.budget.calls == 5


def test_a_limit_that_was_raised_live_holds_in_a_branch() -> None:
    with failed_with({"calls": 70, "tokens": 1_000_000}) as (_, run):
        span = next(span.id for span in run.tree.spans.values() if span.type == "code")
        other = run.branch(span, code="SUBMIT(answer='x')").wait(30)
    assert (other.answer, other.tree.limits.calls, other.tree.limits.tokens) == ("x", 70, 1_000_000)


def test_a_cap_on_a_part_of_a_run_holds_in_the_resumed_run_for_the_calls_that_are_left() -> None:
    with failed_with({"span": "rlm", "calls": 5}, ASK) as (server, run):
        made = server.calls
        again = fleet.resume(run.id).wait(30)
        assert server.calls == made + 1 + 2 + 1  # 5, less 2 before: the cell, two of its queries; and the finish
    assert (again.status, again.answer) == ("exhausted", "early")


def test_a_new_budget_lifts_a_cap() -> None:
    with failed_with({"span": "rlm", "calls": 2}, "SUBMIT(answer='x')") as (_, run):
        assert run.resume(budget=30).wait(30).answer == "x"


def test_a_changed_limit_is_shown_where_the_budget_is() -> None:
    with failed_with({"calls": 4}) as (_, run):
        read = fleet.Run(run.log)
    assert read.tree.limits == ev.Limits(calls=4, depth=2, children=64)
    assert "model calls: 3 of 4" in plain_text(read.tree)
    assert "limits were changed while it went on: 4 calls" in html_page(read.tree)


def test_a_call_that_failed_is_spent_and_one_that_is_left_is_for_the_answer() -> None:
    with failed_with({"calls": 4}, "print(2)") as (server, run):
        again = fleet.resume(run.id).wait(30)
    assert (again.status, again.answer) == ("exhausted", "early")
    assert again.budget.spent.calls == again.usage.llm_calls == server.calls == 4


def test_what_a_cell_asked_before_it_was_cut_off_is_spent_when_it_asks_otherwise() -> None:
    gate = Gate()
    cell = "import os\nfor i in range(6):\n    llm_query(f'q{i} {os.urandom(4)}')\nllm_query('held')"
    with model(
        rlm_action=[rlm_action("-", cell), rlm_action("-", "print(1)")],
        rlm_extract=answer(answer="early"),
        bare=lambda prompt: Reply("late", gate=gate) if prompt.user == "held" else "ok",
    ) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only", budget=10)
        server.wait_for(8)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)
        again = run.resume().wait(30)
    assert (again.status, again.answer) == ("exhausted", "early")
    assert again.budget.spent.calls == again.usage.llm_calls == server.calls == 10


TIGHT = 11
"""Calls of the run below, and the lowest limit that gives it its answer."""


def script() -> Script:
    """Two steps of an agent and its answer, three iterations of an RLM, four queries side by side, and a child."""
    cells = [
        "asked = llm_query_batched([f'query {i}' for i in range(4)])",
        "deep = sub_rlm('look', context='deep down')",
        "SUBMIT(answer=f'{asked} {deep}')",
    ]

    def step(prompt: Prompt) -> str:
        done = "observation_0" in prompt.user
        return react_step("done", "finish") if done else react_step("look", "delegate_to_rlm", query="find it")

    def action(prompt: Prompt) -> str:
        turn = int(prompt.inputs["iteration"].partition("/")[0])
        is_child = "deep down" in prompt.inputs["variables_info"]
        return rlm_action("-", "SUBMIT(answer='deep')" if is_child else cells[min(turn, 3) - 1])

    def extract(prompt: Prompt) -> str:
        told = prompt.user.partition("observation_0 ## ]]\n")[2].partition("\n[[")[0].strip()
        return answer(reasoning="-", answer=f"found {told}")

    def bare(prompt: Prompt) -> str:
        return prompt.user.upper()

    return by_role(
        react_step=step, react_extract=extract, rlm_action=action, rlm_extract=answer(answer="early"), bare=bare
    )


def gone_on(run: str, **changes: Any) -> fleet.Run:
    try:
        return fleet.resume(run, **changes).wait(30)
    except BudgetExhausted as error:
        return error.run


def test_a_run_of_the_tightest_limit_goes_on_from_every_event_of_its_log_and_keeps_the_limit(fleet_home: Path) -> None:
    with LMServer(script()) as server:
        whole = fleet.run("What?", context=BIG, lm=f"m@{server.base_url}", budget=TIGHT)
        assert (whole.status, server.calls) == ("ok", TIGHT)
        log = fleet_home / "runs" / whole.id / "events.jsonl"
        lines = log.read_bytes().splitlines(keepends=True)
        for cut in range(1, len(lines)):
            log.write_bytes(b"".join(lines[:cut]))
            calls = [span for span in fleet.Run.from_jsonl(log).tree.spans.values() if span.type == "llm"]
            begun, lost = len(calls), sum(span.end is None for span in calls)
            before = server.calls
            again = gone_on(whole.id)
            made = begun + server.calls - before
            assert again.usage.llm_calls == again.budget.spent.calls == made <= TIGHT, cut
            if begun == TIGHT and lost:
                assert again.error == f"all {TIGHT} model calls are made, none is left to answer: run.resume(budget=N)"
            else:
                assert again.answer is not None, cut
            if not lost:
                assert (again.status, again.answer, made) == ("ok", whole.answer, TIGHT), cut
                continue
            log.write_bytes(b"".join(lines[:cut]))  # with as many calls more as were lost it is as if nothing had been
            before = server.calls
            again = gone_on(whole.id, budget=TIGHT + lost)
            assert (again.status, again.answer) == ("ok", whole.answer), cut
            assert again.usage.llm_calls == begun + server.calls - before == TIGHT + lost, cut
