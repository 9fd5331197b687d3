"""B7, B9, B13, B17, B18: recursion has one depth, one budget and no deadlock, and code in a sandbox changes neither."""

from __future__ import annotations

import asyncio
from typing import Any

import dspy
import pytest

import fleet_rlm as fleet
from fleet_rlm.core.budget import Budget
from fleet_rlm.core.log import RunLog
from fleet_rlm.rlm.children import build_delegate_child
from fleet_rlm.rlm.queries import QueryError, query_tools
from fleet_rlm.rlm.scope import SIBLINGS, Scope
from tests.faults.model import CONTEXT, model, submitted
from tests.twins.scripts import Prompt, rlm_action

FAMILY = SIBLINGS + 1


def test_parents_waiting_for_children_on_every_level_never_deadlock() -> None:
    """More parents than slots, each waiting for more children than slots, each waiting for a query."""
    parents = f"SUBMIT(answer=sum(map(int, sub_rlm_batched(['be a parent'] * {FAMILY}))))"
    children = f"SUBMIT(answer=sum(map(int, sub_rlm_batched(['be a child'] * {FAMILY}))))"

    def act(prompt: Prompt) -> str:
        told = prompt.inputs["variables_info"]
        code = "SUBMIT(answer=llm_query('count'))" if "be a child" in told else children
        return rlm_action("-", code if "be a" in told else parents)

    with model(rlm_action=act, bare="1") as (_, lm):
        run = fleet.run("What?", context=CONTEXT, lm=lm, mode="rlm_only", depth=3, budget=500, timeout=90)
    assert run.answer == str(FAMILY**2)
    assert run.budget.spent.children == 1 + FAMILY + FAMILY**2
    assert run.budget.spent.calls == run.usage.llm_calls == 1 + FAMILY + 2 * FAMILY**2


def test_a_child_is_a_fork_of_its_parent_and_has_its_variables() -> None:
    def act(prompt: Prompt) -> str:
        child = "be a child" in prompt.inputs["variables_info"]
        parent = "made = 'before'\nSUBMIT(answer=sub_rlm('be a child'))"
        return rlm_action("-", "SUBMIT(answer=made)" if child else parent)

    with model(rlm_action=act) as (_, lm):
        run = fleet.run("What?", context=CONTEXT, lm=lm, mode="rlm_only")
    assert run.answer == "before"
    spans = run.tree.spans.values()
    assert [span.type for span in spans].count("sandbox") == 1
    assert {span.attrs["started_by"] for span in spans if "started_by" in span.attrs} == {"fork"}


def test_dspy_inside_the_sandbox_is_no_further_door_to_a_model() -> None:
    cell = (
        "try:\n    import dspy\n    dspy.Predict('question -> answer')(question='why')\n"
        "    SUBMIT(answer='it answered')\n"
        "except Exception as error:\n    SUBMIT(answer='refused')"
    )
    run, server = submitted(cell, budget=5)
    assert (run.answer, server.calls) == ("refused", 1)


FORGED_CALL = """
import gc, sys
namespace = llm_query.__globals__
call = namespace['call']
try:
    call({name!r}, [], {{'prompt': 'be a child'}}, [None])
    SUBMIT(answer='a child answered')
except Exception as error:
    SUBMIT(answer=f'{{type(error).__name__}}: {{error}}')
"""


def test_code_that_forges_a_call_gets_no_deeper_than_the_run_allows() -> None:
    run, server = submitted(FORGED_CALL.format(name="sub_rlm"), depth=1)
    assert run.answer == "NameError: the tool 'sub_rlm' is not available (any more)"
    assert server.calls == 1


def test_code_that_rewrites_everything_it_can_reach_spends_no_more_than_the_budget() -> None:
    cell = (
        "import gc\n"
        "for found in gc.get_objects():\n"
        "    if isinstance(found, dict):\n"
        "        for name in ('budget', 'calls', 'depth', 'remaining', 'limit', '_calls', 'max_llm_calls'):\n"
        "            if name in found and type(found[name]) in (int, float):\n"
        "                found[name] = 10_000\n"
        "answered = 0\n"
        "for i in range(50):\n"
        "    try:\n        llm_query(f'question {i}'); answered += 1\n"
        "    except Exception as error:\n        told = str(error)\n"
        "SUBMIT(answer=[answered, told])"
    )
    run, server = submitted(cell, budget=6)
    assert server.calls == run.budget.spent.calls == 5, "one call is held back for the finish"
    assert run.answer.startswith("[4, 'budget: ")


def scope(model_name: str) -> Scope:
    lm = dspy.LM(model_name, api_key="none", cache=False)
    return Scope.create(RunLog("r"), Budget(), lm, lm)


def test_the_prompt_names_the_window_of_the_model_at_hand() -> None:
    known = build_delegate_child(scope("openai/gpt-4o"), ["context"]).generate_action.signature.instructions
    unknown = build_delegate_child(scope("openai/never-heard-of"), ["context"]).generate_action.signature.instructions
    assert "up to 327,680 characters a prompt" in known
    assert "its window is not known" in unknown
    assert "500K" not in known + unknown


def test_a_prompt_too_long_for_the_model_is_refused_before_it_is_sent() -> None:
    run = scope("openai/gpt-4o")
    with pytest.raises(QueryError, match=r"has 1,000,000 characters .* split it into 4 parts"):
        asyncio.run(_ask(run, "x" * 1_000_000))
    assert run.ledger.spent().calls == 0


async def _ask(run: Scope, prompt: str) -> Any:
    return await query_tools(run)["llm_query"](prompt)
