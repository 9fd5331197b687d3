"""Limits that were changed while a run went on are in its log, and hold where it is resumed or branched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import ModelError
from fleet_rlm.core.report import html_page
from fleet_rlm.core.report.lines import plain_text
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply, refused_key
from tests.twins.running import BIG, FIND, model
from tests.twins.scripts import answer, rlm_action

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
