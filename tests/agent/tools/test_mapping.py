"""semantic_map: every chunk is asked, at once and on the budget, and what failed does not lose the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.agent.tools.mapping import MapFailed
from fleet_rlm.core.budget import Budget
from fleet_rlm.core.errors import UserError
from fleet_rlm.core.loop import run_sync
from tests.agent.tools.desks import open_when, tools_of, workspace_in
from tests.twins.replies import Gate, Reply
from tests.twins.running import model
from tests.twins.scripts import Prompt

TEXT = "".join(f"# Part {number}\nbird {number}\n" for number in range(1, 5))


def reply(prompt: Prompt) -> str:
    return f"saw {prompt.user.strip()[-1]}"


def test_every_chunk_is_asked_at_once_and_the_replies_are_in_order_everywhere(tmp_path: Path) -> None:
    gate = Gate()

    async def ask() -> tuple[Any, str, Any, float]:
        with model(bare=lambda prompt: Reply(reply(prompt), gate=gate)) as (server, lm):
            open_when(server, 4, gate)
            workspace = workspace_in(tmp_path)
            workspace.documents.add("birds", "a test", "markdown", [TEXT])
            async with tools_of(workspace, lm=lm) as tools:
                told = await tools("semantic_map", question="which bird?", strategy="headers", buffer="seen")
                code = await tools("execute_code", code="print([one['title'] for one in birds_map])")
                return json.loads(told), code, workspace.buffers.state(), tools.scope.ledger.spent().calls

    told, code, buffers, calls = run_sync(ask())
    assert told == [{"chunk": n, "title": f"# Part {n}", "reply": f"saw {n}"} for n in range(1, 5)]
    assert code == "['# Part 1', '# Part 2', '# Part 3', '# Part 4']"
    assert (buffers, calls) == ({"seen": ["saw 1", "saw 2", "saw 3", "saw 4"]}, 4)


def test_what_the_budget_does_not_pay_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    async def ask() -> tuple[str, str]:
        with model(bare=reply) as (_, lm):
            workspace = workspace_in(tmp_path)
            workspace.documents.add("birds", "a test", "markdown", [TEXT])
            async with tools_of(workspace, lm=lm, budget=Budget(calls=3)) as tools:
                with pytest.raises(MapFailed) as caught:
                    await tools("semantic_map", question="which bird?", strategy="headers")
                return str(caught.value), await tools("execute_code", code="print(len(birds_map))")

    told, kept = run_sync(ask())
    assert told.startswith("1 of 4 chunks have no reply (BudgetExhausted: ")
    assert kept == "3"


def test_too_many_chunks_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async def ask() -> int:
        with model() as (server, lm):
            workspace = workspace_in(tmp_path)
            workspace.documents.add("birds", "a test", "text", [TEXT * 1_000])
            async with tools_of(workspace, lm=lm) as tools:
                with pytest.raises(UserError, match=r"makes 640 chunks and at most 24 are asked"):
                    await tools("semantic_map", question="x", size=100)
            return server.calls

    assert run_sync(ask()) == 0
