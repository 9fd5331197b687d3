"""Children: one budget and one tree, the depth limit, and what a child is told of its parent's data."""

from __future__ import annotations

import threading
from typing import Any

import fleet_rlm as fleet
from tests.twins.running import BIG, kinds, model
from tests.twins.scripts import answer, react_step, rlm_action


def test_sub_queries_and_children_share_one_budget_and_one_tree() -> None:
    parent = (
        "halves = [context[:len(context)//2], context[len(context)//2:]]\n"
        "answers = sub_rlm_batched(['find the number'] * 2, halves)\n"
        "print(answers)"
    )
    child = (
        "import re\nhit = re.search(r'magic number is (\\d+)', context)\n"
        "SUBMIT(answer=llm_query('say it: ' + hit.group(1)) if hit else 'none')"
    )
    turns = iter([parent, "SUBMIT(answer=[a for a in answers if a != 'none'][0])"])
    lock = threading.Lock()

    def act(prompt: Any) -> Any:
        if "find the number" in prompt.inputs["variables_info"]:
            return rlm_action("child", child)
        with lock:
            return rlm_action("parent", next(turns))

    with model(rlm_action=act, bare="7481") as (server, lm):
        run = fleet.run("What is the magic number?", context=BIG, lm=lm, mode="rlm_only", budget=10)
    assert run.answer == "7481"
    assert kinds(run, "rlm") == ["rlm", "sub_rlm", "sub_rlm"]
    assert sorted(span.depth for span in run.tree.spans.values() if span.type == "rlm") == [1, 2, 2]
    assert run.budget.spent.calls == server.calls == 5
    assert run.budget.spent.children == 3


def test_at_the_depth_limit_there_is_no_sub_rlm() -> None:
    code = "try:\n    sub_rlm('x')\nexcept NameError as error:\n    SUBMIT(answer=str(error))"
    with model(rlm_action=rlm_action("try", code)) as (_, lm):
        run = fleet.run("Can you?", context=BIG, lm=lm, mode="rlm_only", depth=1)
    assert "sub_rlm" in run.answer


def test_an_agent_s_extra_context_is_added_to_the_data_and_does_not_hide_it() -> None:
    with model(
        react_step=[
            react_step("look", "delegate_to_rlm", query="find it", context="a hint"),
            react_step("done", "finish"),
        ],
        rlm_action=rlm_action("both", "SUBMIT(answer=[len(deploys), context])"),
        react_extract=lambda prompt: answer(reasoning="-", answer=prompt.inputs["trajectory"][-40:]),
    ) as (server, lm):
        fleet.run("What?", context={"deploys": BIG}, lm=lm)
    asked = server.requests[1].text
    assert "`deploys`" in asked
    assert "a hint" in asked


def test_several_values_are_all_described_also_where_one_is_called_context() -> None:
    with model(rlm_action=rlm_action("done", "SUBMIT(answer=1)")) as (server, lm):
        fleet.run("What?", context={"context": BIG, "deploys": [1, 2]}, lm=lm, mode="rlm_only")
    assert "`deploys`" in server.requests[0].text


def test_a_child_that_is_given_no_context_sees_its_parents_data() -> None:
    code = "context = 'my own'\nextra = 1\ndel other\nprint(sub_rlm('and you?'))"
    turns = iter([code, "SUBMIT(answer='done')"])

    def act(prompt: Any) -> Any:
        if "and you?" in prompt.inputs["variables_info"]:
            return rlm_action("child", "SUBMIT(answer=len(data))")
        return rlm_action("parent", next(turns))

    with model(rlm_action=act) as (server, lm):
        fleet.run("What?", context={"data": BIG, "other": [1]}, lm=lm, mode="rlm_only")
    child = server.requests[1].text
    assert "`data`" in child
    assert "`other`" not in child
    assert "my own" not in child.partition("repl_history")[0]
