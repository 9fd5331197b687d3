"""Analysts: every one gives its fields as JSON, on the run's budget and in its log, over documents of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.roots import OutsideRoots
from fleet_rlm.core.budget import Budget
from fleet_rlm.core.errors import BudgetExhausted
from fleet_rlm.core.loop import run_sync
from fleet_rlm.core.run import Run
from tests.agent.tools.desks import Tools, tools_of, workspace_in
from tests.twins.running import model
from tests.twins.scripts import answer, rlm_action

TEXT = "2024-01-02 ERROR the heron is gone\n2024-01-03 INFO the heron is back\n"
ASKED: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "analyse_document": (
        {"question": "what happened?"},
        {"answer": "it left", "findings": ["gone"], "sections_examined": ["line 1"]},
    ),
    "summarise_document": ({"focus": "the bird"}, {"summary": "s", "key_points": ["k"], "left_out": "-"}),
    "extract_from_logs": (
        {"question": "errors"},
        {"matches": [TEXT.splitlines()[0]], "patterns": [], "time_range": "2024-01-02"},
    ),
    "triage_incident": (
        {"question": "how bad?"},
        {
            **{"severity": "low", "probable_root_causes": ["hunger"], "impacted_components": ["pond"]},
            **{"recommended_actions": ["wait"], "time_range": "a day"},
        },
    ),
    "plan_change": (
        {"change": "add fish"},
        {"plan_steps": ["buy"], "files_to_touch": [], "validation_commands": ["look"], "risks": ["cats"]},
    ),
    "clarify": (
        {"request": "do it"},
        {
            **{"questions": ["what?"], "blocking_unknowns": [], "safe_default": "nothing"},
            **{"proceed_without_answer": True},
        },
    ),
    "grounded_answer": (
        {"question": "where is it?"},
        {"answer": "back", "citations": ["the heron is back"], "confidence": "high", "not_covered": "-"},
    ),
}


def ask(
    root: Path, name: str, *, text: str = TEXT, budget: Budget | None = None, **roles: Any
) -> tuple[Any, Tools, Any]:
    """What a tool gave as JSON, the tools, and the requests the model got."""

    async def asked() -> tuple[Any, Tools, Any]:
        with model(**roles) as (server, lm):
            workspace = workspace_in(root)
            workspace.documents.add("log", "a test", "text", [text])
            async with tools_of(workspace, lm=lm, budget=budget) as tools:
                return json.loads(await tools(name, **ASKED[name][0])), tools, server.requests

    return run_sync(asked())


@pytest.mark.parametrize("name", ASKED)
def test_every_analyst_gives_its_typed_fields_and_is_metered_and_logged(name: str, tmp_path: Path) -> None:
    given = ASKED[name][1]
    told, tools, requests = ask(tmp_path, name, direct=answer(**given))
    wanted = {**given, "citations": [{"quote": "the heron is back", "line": 2}]} if "citations" in given else given
    assert told == wanted
    assert (len(requests), tools.scope.ledger.spent().calls) == (1, 1)
    assert (TEXT in requests[0].text) == (name != "clarify")
    tree = Run(tools.scope.log).tree
    assert [(level, span.type) for level, span in tree.walk()] == [(0, "tool"), (1, "llm")]


def test_a_document_too_long_for_a_prompt_is_reported_on_by_an_rlm_first(tmp_path: Path) -> None:
    long = "nothing\n" * 20_000 + TEXT
    code = "SUBMIT(answer='REPORT: ' + log.splitlines()[-1])"
    told, tools, requests = ask(
        tmp_path,
        "grounded_answer",
        text=long,
        rlm_action=rlm_action("search", code),
        direct=answer(**ASKED["grounded_answer"][1]),
    )
    assert told["citations"] == [{"quote": "the heron is back", "line": 20_002}]
    assert [len(request.text) < 30_000 for request in requests] == [True, True]
    assert "REPORT: 2024-01-03 INFO the heron is back" in requests[1].text
    assert tools.scope.ledger.spent().children == 1


def test_an_unreadable_reply_is_asked_again(tmp_path: Path) -> None:
    told, _, requests = ask(tmp_path, "clarify", direct=["mumble", answer(**ASKED["clarify"][1])])
    assert told["safe_default"] == "nothing"
    assert "could not be read" in requests[1].text


def test_a_value_of_the_wrong_kind_is_asked_again(tmp_path: Path) -> None:
    good = ASKED["triage_incident"][1]
    told, _, requests = ask(tmp_path, "triage_incident", direct=[answer(**{**good, "severity": "bad"}), answer(**good)])
    assert (told["severity"], len(requests)) == ("low", 2)


def test_what_the_budget_does_not_pay_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(BudgetExhausted):
        ask(tmp_path, "clarify", budget=Budget(calls=1), direct=["mumble"])


def test_a_document_that_is_not_there_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    async def asked() -> int:
        with model() as (server, lm):
            async with tools_of(workspace_in(tmp_path), lm=lm) as tools:
                for document, error in (("", DocumentError), ("gone", DocumentError), ("../x.txt", OutsideRoots)):
                    with pytest.raises(error):
                        await tools("analyse_document", question="x", document=document)
            return server.calls

    assert run_sync(asked()) == 0
