"""Delegates: documents by alias or place, batches at once, and failures that keep what succeeded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.tools.working import BatchFailed
from fleet_rlm.core.budget import Budget
from fleet_rlm.core.errors import BudgetExhausted, UserError
from fleet_rlm.core.loop import run_sync
from tests.agent.documents.web import Names, serving
from tests.agent.tools.desks import open_when, tools_of, workspace_in
from tests.twins.replies import Gate, Reply
from tests.twins.running import model
from tests.twins.scripts import Prompt, rlm_action


def test_a_delegate_loads_a_url_and_is_told_which_variable_is_meant(tmp_path: Path) -> None:
    async def ask() -> tuple[str, str, list[str]]:
        with serving() as web, model(rlm_action=rlm_action("read", "SUBMIT(answer=page)")) as (server, lm):
            fetcher = Fetcher(allow=["wiki.example"], resolver=Names(wiki_example=[["127.0.0.1"]]))
            async with tools_of(workspace_in(tmp_path, fetcher=fetcher), lm=lm) as tools:
                url = f"http://wiki.example:{web.port}/page"
                answers = [await tools("delegate_to_rlm", query="read it", document=url) for _ in range(2)]
                return answers[0], server.requests[0].text, web.hosts

    answer, asked, hosts = run_sync(ask())
    assert answer.strip() == "# Heron"
    assert "The document meant is the variable `page` (html from http://wiki.example" in asked
    assert len(hosts) == 1


def test_extra_context_is_a_variable_of_the_child(tmp_path: Path) -> None:
    async def ask() -> str:
        with model(rlm_action=rlm_action("read", "SUBMIT(answer=context + notes)")) as (_, lm):
            workspace = workspace_in(tmp_path)
            workspace.documents.add("notes", "a test", "text", ["heron"])
            async with tools_of(workspace, lm=lm) as tools:
                return await tools("delegate_to_rlm", query="join", context="a ")

    assert run_sync(ask()) == "a heron"


def act(prompt: Prompt) -> Any:
    """Answers with the number in the question; where there is none, gives up."""
    number = next((digit for digit in "123456789" if f"number {digit}" in prompt.inputs["variables_info"]), None)
    return rlm_action("answer", f"SUBMIT(answer={number!r})" if number else "raise SystemExit")


def test_a_batch_is_answered_in_order_and_at_once(tmp_path: Path) -> None:
    gate = Gate()

    async def ask() -> str:
        with model(rlm_action=lambda prompt: Reply(act(prompt), gate=gate)) as (server, lm):
            open_when(server, 3, gate)
            async with tools_of(workspace_in(tmp_path), lm=lm) as tools:
                return await tools("delegate_to_rlm_batched", queries=[f"number {digit}" for digit in (3, 1, 2)])

    assert json.loads(run_sync(ask())) == ["3", "1", "2"]


def test_a_batch_that_fails_in_part_tells_the_answers_it_has(tmp_path: Path) -> None:
    async def ask() -> str:
        with model(rlm_action=act) as (_, lm):
            async with tools_of(workspace_in(tmp_path), lm=lm, budget=Budget(children=2)) as tools:
                with pytest.raises(BatchFailed) as caught:
                    await tools("delegate_to_rlm_batched", queries=["number 1", "number 2", "number 3"])
                return str(caught.value)

    told = run_sync(ask())
    assert told.startswith("1 of 3 queries have no answer (query 3: ")
    assert '{"1": "1", "2": "2"}' in told


def test_a_batch_of_which_nothing_can_be_paid_is_out_of_budget(tmp_path: Path) -> None:
    async def ask() -> None:
        with model(rlm_action=act) as (server, lm):
            async with tools_of(workspace_in(tmp_path), lm=lm, budget=Budget(children=0)) as tools:
                with pytest.raises(BudgetExhausted):
                    await tools("delegate_to_rlm_batched", queries=["number 1", "number 2"])
            assert server.calls == 0

    run_sync(ask())


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        ("delegate_to_rlm_batched", {"queries": []}, UserError),
        ("delegate_to_rlm_batched", {"queries": ["x"] * 21}, UserError),
        ("delegate_to_rlm", {"query": "x", "document": "gone"}, DocumentError),
        ("delegate_to_rlm", {"query": "x", "document": "http://127.0.0.1/"}, DocumentError),
    ],
)
def test_what_cannot_be_asked_costs_nothing(
    tool: str, arguments: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    async def ask() -> int:
        with model() as (server, lm):
            async with tools_of(workspace_in(tmp_path), lm=lm) as tools:
                with pytest.raises(error):
                    await tools(tool, **arguments)
            return server.calls

    assert run_sync(ask()) == 0
