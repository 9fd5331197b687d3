"""B6, B8, B15, B20: a failure keeps the trace, is an exception with its reason, and costs what it cost."""

from __future__ import annotations

import math

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import ModelError
from tests.faults.model import CONTEXT, model, submitted
from tests.twins.replies import Reply, refused_key
from tests.twins.scripts import Prompt, rlm_action


def test_a_model_that_fails_in_the_middle_leaves_the_iterations_before_in_the_trace() -> None:
    with model(rlm_action=[rlm_action("look", "print('found it')"), refused_key()]) as (_, lm):
        with pytest.raises(ModelError) as caught:
            fleet.run("What?", context=CONTEXT, lm=lm, mode="rlm_only")
    spans = list(caught.value.run.tree.spans.values())
    assert [span.output for span in spans if span.type == "code"] == ["found it"]
    assert [span.status for span in spans if span.type == "iteration"] == ["ok", "error"]


def refusing(prompt: Prompt) -> str | Reply:
    return refused_key() if "bad" in prompt.user else "fine"


def test_a_failed_sub_query_raises_in_the_code_and_is_never_a_text_among_answers() -> None:
    cell = (
        "try:\n    replies = llm_query_batched(['good', 'bad'])\n"
        "except Exception as error:\n    SUBMIT(answer=f'{type(error).__name__}: {error}')"
    )
    run, _ = submitted(cell, bare=refusing)
    assert run.answer.startswith("QueryError: 1 of 2 sub-queries failed (ModelError: ")


def test_failures_in_place_are_exceptions_where_they_are_asked_for() -> None:
    cell = (
        "replies = llm_query_batched(['good', 'bad', 'good'], return_exceptions=True)\n"
        "SUBMIT(answer=[reply if isinstance(reply, str) else isinstance(reply, Exception) for reply in replies])"
    )
    run, server = submitted(cell, bare=refusing)
    assert run.answer == "['fine', True, 'fine']"
    assert server.calls == 1 + 2, "equal prompts are asked once"


def test_a_child_that_fails_is_an_exception_in_its_parents_code() -> None:
    def act(prompt: Prompt) -> str | Reply:
        if "be a child" in prompt.inputs["variables_info"]:
            return refused_key()
        cell = "try:\n    sub_rlm('be a child')\nexcept Exception as error:\n    SUBMIT(answer=repr(error))"
        return rlm_action("-", cell)

    with model(rlm_action=act) as (_, lm):
        run = fleet.run("What?", context=CONTEXT, lm=lm, mode="rlm_only")
    assert run.answer.startswith("ChildFailed('the sub-RLM ended without an answer: ")


def test_every_call_that_reaches_the_model_is_in_the_budget_and_none_is_made_twice() -> None:
    replies = ["no fields at all", rlm_action("ask", "print(llm_query('q'))"), rlm_action("-", "SUBMIT(answer='x')")]
    with model(rlm_action=replies, bare="ok") as (server, lm):
        run = fleet.run("What?", context=CONTEXT, lm=lm, mode="rlm_only", budget=10)
    assert server.calls == run.budget.spent.calls == run.usage.llm_calls == 4


def test_what_the_provider_does_not_report_is_unknown_in_the_whole_run() -> None:
    silent = Reply(str(rlm_action("-", "SUBMIT(answer='x')")), usage=None)
    with model(rlm_action=silent) as (_, lm):
        run = fleet.run("What?", context=CONTEXT, lm=lm, mode="rlm_only")
    calls = run.spans().query("kind == 'llm'")
    assert run.usage.tokens_in is run.usage.tokens_out is run.usage.cost_usd is None
    assert run.budget.spent.tokens is run.budget.spent.usd is None
    assert calls[["tokens_in", "tokens_out", "cost_usd"]].isna().all(axis=None)
    assert not math.isnan(calls["llm_calls"].sum())
