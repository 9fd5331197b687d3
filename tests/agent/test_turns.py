"""A run that is a turn: the model sees the conversation and the memory, in every way of working, within its window."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.agent.request import Request, request
from fleet_rlm.agent.runtime import begin
from fleet_rlm.agent.workspace import Exchange, Workspace
from fleet_rlm.core import events as ev
from fleet_rlm.core.loop import run_sync
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.sandbox.base import Sandbox
from fleet_rlm.sandbox.local import LocalSandbox
from tests.twins.replies import too_long
from tests.twins.running import model
from tests.twins.scripts import answer, react_step, rlm_action

DONE = react_step("I know it", "finish")


def workspace(turns: int = 2, chars: int = 10) -> Workspace:
    memory = CoreMemory()
    memory.edit("human", "the user is called Ada")
    exchanges = [Exchange(f"question {i}?", f"answer {i} " + "x" * chars) for i in range(turns)]
    return Workspace(memory=memory, history=exchanges)


def test_the_agent_sees_history_and_memory_and_answers_a_turn() -> None:
    with model(react_step=[DONE], react_extract=answer(reasoning="-", answer="hello Ada")) as (server, lm):
        run = begin(request("And now?", lm=lm), workspace=workspace(), session="s-1").wait()
    assert run.answer == "hello Ada"
    assert isinstance(start := run.events()[0], ev.RunStart)
    assert start.session == "s-1"
    for received in server.requests:
        roles = [message["role"] for message in received.body["messages"]]
        assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
        assert "the user is called Ada" in received.text
    step, extract = (received.body["messages"] for received in server.requests)
    assert "I answered: answer 1" in step[4]["content"]
    assert "[[ ## answer ## ]]\nanswer 1" in extract[4]["content"]


def test_a_direct_turn_sees_them_too() -> None:
    with model(direct=answer(answer="x")) as (server, lm):
        begin(request("And now?", lm=lm, mode="direct", context="small"), workspace=workspace()).wait()
    assert len(server.requests[0].body["messages"]) == 6
    assert "the user is called Ada" in server.requests[0].text


def test_an_rlm_alone_has_them_as_variables() -> None:
    code = "SUBMIT(answer=session_history[-1]['answer'] + session_memory)"
    with model(rlm_action=rlm_action("look", code)) as (server, lm):
        run = begin(request("And now?", lm=lm, mode="rlm_only", context="small"), workspace=workspace()).wait()
    assert str(run.answer).startswith("answer 1")
    assert "the user is called Ada" in str(run.answer)
    assert "answer 0" in server.requests[0].text


def test_a_long_conversation_is_cut_to_the_newest_and_all_of_it_is_in_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEET_WINDOW", "8000")
    read = react_step("look", "execute_code", code="session_history[0]['question'] + str(len(session_history))")
    with model(react_step=[read, DONE], react_extract=answer(reasoning="-", answer="x")) as (server, lm):
        run = begin(request("And now?", lm=lm), workspace=workspace(turns=500, chars=300)).wait()
    assert len(server.requests[0].text) < 8000 * 3.2
    assert "question 499?" in server.requests[0].text
    assert "question 400?" not in server.requests[0].text
    assert "question 0?500" in server.requests[1].text
    assert any("of 500 turns" in note.text for note in run.tree.notes)


def test_a_window_smaller_than_thought_gets_fewer_turns() -> None:
    replies: list[Any] = [too_long(limit=10, asked=20), DONE]
    with model(react_step=replies, react_extract=answer(reasoning="-", answer="x")) as (server, lm):
        run = begin(request("And now?", lm=lm), workspace=workspace(turns=4)).wait()
    assert run.answer == "x"
    assert [len(received.body["messages"]) for received in server.requests] == [10, 6, 6]
    assert any("outgrew the context window" in note.text for note in run.tree.notes)


def test_a_sandbox_of_the_session_keeps_its_variables_and_stays_open() -> None:
    box = LocalSandbox()

    @contextlib.asynccontextmanager
    async def opened(asked: Request, scope: Scope) -> AsyncIterator[Sandbox]:
        await box.astart()
        yield box

    script = [react_step("set", "execute_code", code="kept = 41"), DONE]
    script += [react_step("read", "execute_code", code="kept + 1"), DONE]
    with model(react_step=script, react_extract=answer(reasoning="-", answer="x")) as (server, lm):
        for question in ("Set it", "Read it"):
            begin(request(question, lm=lm), workspace=workspace(), sandbox=opened).wait()
    assert "42" in server.requests[4].text
    run_sync(box.aclose())


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_wants_to_know_the_outcome_knows_it_before_the_run_is_over(fails: bool) -> None:
    seen: list[tuple[str, str]] = []

    async def ended(run: fleet.Run, end: ev.RunEnd) -> None:
        await asyncio.sleep(0)
        seen.append((run.status, end.status))
        run.log.emit(ev.Note(level="info", text="saved"))

    reply = react_step("look", "finish")
    with model(
        react_step=too_long(limit=1, asked=2) if fails else reply, react_extract=answer(reasoning="-", answer="x")
    ) as (_, lm):
        run = begin(request("And now?", lm=lm), workspace=workspace(turns=0), ended=ended)
        with contextlib.suppress(fleet.FleetError):
            run.wait()
    assert seen == [("running", "failed" if fails else "ok")]
    assert isinstance(run.events()[-1], ev.RunEnd)
    assert run.tree.notes[-1].text == "saved"


def test_the_stand_in_answers_a_turn_over_data_and_says_that_it_reads_each_question_by_itself() -> None:
    data = "an error here\nfine\n" * 3
    run = begin(request("How many lines mention error?", context=data), workspace=workspace()).wait()
    assert "3" in str(run.answer)
    assert "by itself" not in str(run.answer)
    again = begin(request("How many of those lines mention error?", context=data), workspace=workspace()).wait()
    assert "`those` refers to in earlier turns was not used" in str(again.answer)
