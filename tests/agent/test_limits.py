"""Budgets: exhaustion is told and still answered, and limits can change while a run goes on."""

from __future__ import annotations

from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import BudgetExhausted
from tests.twins.replies import Gate, Reply
from tests.twins.running import BIG, model
from tests.twins.scripts import answer, rlm_action


def test_an_exhausted_budget_is_told_to_the_code_and_still_ends_in_an_answer() -> None:
    code = (
        "for i in range(50):\n    try:\n        llm_query(f'question {i}')\n"
        "    except Exception as error:\n        print(i, error)\n        break"
    )
    with model(rlm_action=rlm_action("ask a lot", code), bare="ok", rlm_extract=answer(answer="partly")) as (
        server,
        lm,
    ):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only", budget=6)
    assert (run.status, run.answer) == ("exhausted", "partly")
    assert server.calls == run.budget.spent.calls == 6
    assert "finish with what you have" in next(s.output or "" for s in run.tree.spans.values() if s.type == "code")


def test_a_budget_too_small_for_any_answer_is_a_clear_error_with_the_trace() -> None:
    gate = Gate()
    with (
        model(rlm_action=Reply("late", gate=gate)) as (_, lm),
        pytest.raises(BudgetExhausted, match="cut off after 1 s") as caught,
    ):
        fleet.run("What?", context=BIG, lm=lm, mode="rlm_only", timeout=1)
    run = caught.value.run
    assert run.status == "exhausted"
    assert isinstance(run.events()[-1], ev.RunEnd)


def test_a_dollar_limit_that_cannot_be_kept_is_refused() -> None:
    with (
        model(direct=answer(answer="x")) as (_, lm),
        pytest.raises(fleet.UserError, match=r"the price of .* is not known"),
    ):
        fleet.run("What?", context="small", lm=lm, budget=fleet.Budget(usd=1.0))


def test_a_budget_can_be_lowered_while_the_run_goes_on() -> None:
    gate = Gate()
    first = Reply(str(rlm_action("look", "print(1)")), gate=gate)
    with model(rlm_action=[first, rlm_action("never", "1")], rlm_extract=answer(answer="early")) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        server.wait_for(1)
        run.limit(calls=2)
        gate.open()
        run.wait(30)
    assert (run.status, run.answer, server.calls) == ("exhausted", "early", 2)
    assert run.budget.remaining.calls == 0


def test_a_part_of_a_run_can_be_capped_while_it_goes_on() -> None:
    gate = Gate()
    code = "for i in range(9):\n    try: llm_query(f'q{i}')\n    except Exception as e: print('refused', e); break"
    turns = [Reply(str(rlm_action("ask", code)), gate=gate), rlm_action("submit", "SUBMIT(answer=i)")]
    with model(rlm_action=turns, bare="ok", rlm_extract=answer(answer="capped")) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        server.wait_for(1)
        run.limit(span=next(span.id for span in run.tree.spans.values() if span.type == "rlm"), calls=3)
        gate.open()
        run.wait(30)
    assert (run.status, run.answer) == ("exhausted", "capped")
    assert server.calls == 1 + 3 + 1


def test_time_can_be_added_while_the_run_goes_on() -> None:
    gate = Gate()
    with model(direct=Reply(str(answer(answer="late")), gate=gate)) as (server, lm):
        run = fleet.start("What?", context="small", lm=lm, timeout=1.5)
        server.wait_for(1)
        run.limit(seconds=60)
        with pytest.raises(TimeoutError):
            run.wait(2)
        gate.open()
        assert run.wait(30).answer == "late"


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [({"cals": 3}, "no limit 'cals'"), ({"calls": 0}, "at least 1"), ({"span": "s99", "calls": 1}, "no span 's99'")],
)
def test_a_wrong_limit_is_one_sentence_and_changes_nothing(limits: dict[str, Any], sentence: str) -> None:
    gate = Gate()
    with model(direct=Reply(str(answer(answer="x")), gate=gate)) as (_, lm):
        run = fleet.start("What?", context="small", lm=lm, budget=5)
        with pytest.raises(fleet.UserError, match=sentence):
            run.limit(**limits)
        gate.open()
        assert run.wait(30).budget.spent.calls == 1
        with pytest.raises(fleet.UserError, match="has ended"):
            run.limit(calls=9)
