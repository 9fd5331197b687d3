"""Who is asked what, and what comes of the answer: whole runs of a session, with model and web server on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.agent.approval import EFFECTS, Approvals, Policy
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import NotAsked
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import run_sync
from tests.agent.documents.web import Web, serving
from tests.agent.people import asks, decided, until_asked
from tests.twins.running import model
from tests.twins.scripts import answer, react_step

DONE = react_step("I know it", "finish")
ANSWER = answer(reasoning="-", answer="x")


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with serving() as web:
        monkeypatch.setenv("FLEET_FETCH_ALLOW", f"127.0.0.1:{web.port}")
        yield web


def note(text: str) -> Any:
    return react_step("keep it", "write_buffer", name="findings", text=text)


def started(session: fleet.Session, lm: str, approve: Policy = "ask", **options: Any) -> fleet.Run:
    return session.start("What now?", lm=lm, approve=approve, **options)


def test_nothing_asks_unless_it_was_said(web: Web) -> None:
    page = f"http://127.0.0.1:{web.port}/page"
    steps = [react_step("read", "load_document", path=page), note("x"), DONE]
    with model(react_step=steps, react_extract=ANSWER) as (_, lm), fleet.Session("s") as session:
        run = session.ask("What now?", lm=lm)
        assert (run.status, asks(run), session.buffers.names()) == ("ok", [], {"findings": 1})
    assert len(web.asked) == 1


def test_what_is_approved_is_done_and_the_run_goes_on() -> None:
    with model(react_step=[note("one"), DONE], react_extract=ANSWER) as (server, lm), fleet.Session("s") as session:
        run = started(session, lm)
        (asked,) = until_asked(run)
        assert session.buffers.names() == {}
        assert (asked.tool, asked.question) == ("write_buffer", "Write to the buffer findings?")
        assert asked.options == ["once", "always", "no"]
        assert run.approve().answer == "once"
        run.wait()
        assert session.buffers.read("findings") == ["one"]
    assert (run.status, run.asks) == ("ok", [])
    assert "buffer 'findings' holds 1 texts" in server.requests[1].text


def test_a_no_is_told_to_the_model_with_its_reason_and_the_run_goes_another_way(web: Web) -> None:
    page = f"http://127.0.0.1:{web.port}/page"
    steps = [react_step("read", "load_document", path=page), note("instead"), DONE]
    with model(react_step=steps, react_extract=ANSWER) as (server, lm), fleet.Session("s") as session:
        run = started(session, lm)
        questions = decided(run, ("no", "it is in the handbook"), "once")
        assert session.buffers.read("findings") == ["instead"]
    assert questions == [f"Fetch {page}?", "Write to the buffer findings?"]
    assert (run.status, web.asked) == ("ok", [])
    assert "the user declined: it is in the handbook. Go another way" in server.requests[1].text
    (declined,) = [span for span in run.tree.spans.values() if span.name == "load_document"]
    assert (declined.status, declined.asks[0].answer) == ("ok", "no")


def test_always_holds_for_that_tool_and_that_run() -> None:
    steps = [note("one"), note("two"), react_step("drop", "clear_buffer", name="findings"), DONE]
    with model(react_step=[*steps, note("three"), DONE], react_extract=ANSWER) as (_, lm), fleet.Session("s") as one:
        first = started(one, lm)
        assert decided(first, "always", "no") == ["Write to the buffer findings?", "Remove the buffer findings?"]
        assert one.buffers.read("findings") == ["one", "two"]
        assert decided(started(one, lm), "once") == ["Write to the buffer findings?"]


def test_edits_asks_for_what_goes_outside_only(web: Web) -> None:
    page = f"http://127.0.0.1:{web.port}/page"
    steps = [
        note("one"),
        react_step("know", "edit_core_memory", section="human", content="Ada"),
        react_step("keep", "memory_write", path="a.md", text="a"),
        react_step("read", "load_document", path=page, alias="page"),
        react_step("cut", "chunk_document", document=page),
        DONE,
    ]
    with model(react_step=steps, react_extract=ANSWER) as (_, lm), fleet.Session("s") as session:
        assert decided(started(session, lm, "edits"), "once") == [f"Fetch {page}?"]
        assert session.memory.sections["human"] == "Ada"
    assert [path for _, path in web.asked] == ["/page"]


def test_two_questions_at_once_are_told_apart() -> None:
    log = RunLog("r")
    run = fleet.Run(log)
    approvals = Approvals(log, "ask")

    async def call(text: str) -> str | None:
        with log.span("tool", text):
            return await approvals.permit("write_buffer", {"name": text})

    async def both() -> list[str | None]:
        return await asyncio.gather(call("one"), call("two"))

    from fleet_rlm.core.loop import submit

    working = submit(both())
    run.attach(working, lambda: None)
    first, second = until_asked(run, 2)
    with pytest.raises(NotAsked, match=f"asks 2 things.* {first.seq}: Write to the buffer one.; {second.seq}: "):
        run.approve()
    run.approve("no", ask=second.seq)
    with pytest.raises(NotAsked, match="was answered already: no"):
        run.approve(ask=second.seq)
    run.approve("once")
    allowed, refused = working.result(10)
    assert allowed is None
    assert "two" not in str(refused)
    assert "declined" in str(refused)


def test_an_answer_that_is_none_and_a_question_that_is_none_are_refused_in_a_sentence() -> None:
    with model(react_step=[note("one"), DONE], react_extract=ANSWER) as (_, lm), fleet.Session("s") as session:
        run = started(session, lm)
        until_asked(run)
        with pytest.raises(fleet.UserError, match="answer one of 'once', 'always', 'no', not 'perhaps'"):
            run.approve("perhaps")
        with pytest.raises(NotAsked, match="asks nothing at event 0"):
            run.approve(ask=0)
        run.approve()
        run.wait()
        with pytest.raises(NotAsked, match=r"is not going on here \(ok\)"):
            run.approve()


def test_stop_ends_the_waiting_and_a_resume_asks_again() -> None:
    with model(react_step=[note("one"), DONE], react_extract=ANSWER) as (server, lm), fleet.Session("s") as session:
        run = started(session, lm)
        until_asked(run)
        run.stop()
        with pytest.raises(fleet.RunStopped):
            run.wait()
        assert (run.asks, session.buffers.names()) == ([], {})
        again = session.resume(run)
        assert decided(again, "once") == ["Write to the buffer findings?"]
        assert session.buffers.read("findings") == ["one"]
    assert (len(asks(again)), server.calls) == (2, 3)


@pytest.mark.parametrize("word", ["once", "always", "no"])
def test_what_was_answered_is_not_asked_again_when_the_run_goes_on(word: str) -> None:
    steps = [note("one"), react_step("drop", "clear_buffer", name="findings"), note("two"), DONE]
    with model(react_step=steps, react_extract=ANSWER) as (_, lm), fleet.Session("s") as session:
        run = started(session, lm)
        until_asked(run)
        run.approve(word)
        while until_asked(run)[0].tool != "clear_buffer":
            pass
        run.stop()
        with pytest.raises(fleet.RunStopped):
            run.wait()
        again = session.resume(run)
        second = [] if word == "always" else ["once"]
        decided(again, "no", *second)
        kept = session.buffers.read("findings")
    drop, write = "Remove the buffer findings?", "Write to the buffer findings?"
    assert asks(again) == [write, drop, drop, *([write] if second else [])]
    assert kept[-1] == "two"
    assert ("one" in kept) == (word != "no")


def test_what_was_allowed_and_cut_off_is_done_again_without_asking(web: Web) -> None:
    steps = [react_step("read", "load_document", path=f"http://127.0.0.1:{web.port}/slow"), DONE]
    with model(react_step=steps, react_extract=ANSWER) as (_, lm), fleet.Session("s") as session:
        run = started(session, lm)
        until_asked(run)
        run.approve()
        web.reached.wait(30)
        run.stop()
        with pytest.raises(fleet.RunStopped):
            run.wait()
        web.stop.set()
        again = session.resume(run)
        again.wait(60)
    assert (len(asks(again)), len(web.asked)) == (1, 2)


def test_another_policy_may_hold_from_a_resume_on() -> None:
    with model(react_step=[note("one"), DONE], react_extract=ANSWER) as (_, lm), fleet.Session("s") as session:
        run = started(session, lm)
        until_asked(run)
        run.stop()
        with pytest.raises(fleet.RunStopped):
            run.wait()
        assert session.resume(run, approve="auto").wait().status == "ok"
        assert session.buffers.read("findings") == ["one"]


def test_the_time_of_a_person_is_not_the_runs() -> None:
    with model(react_step=[note("one"), DONE], react_extract=ANSWER) as (_, lm), fleet.Session("s") as session:
        run = started(session, lm, timeout=40)
        until_asked(run)
        run.limit(seconds=0.01)  # less than it has worked, and it is not cut off: nobody works
        assert run.approve() is not None
        with pytest.raises(fleet.BudgetExhausted):
            run.wait()
    assert run.status == "exhausted"


def test_whoever_blocks_until_the_answer_is_told_so_before_anything_is_spent() -> None:
    with model() as (server, lm), fleet.Session("s") as session:
        for ask in (fleet.run, session.ask, lambda *a, **k: run_sync(fleet.arun(*a, **k))):
            with pytest.raises(fleet.UserError, match=r"call start\(...\) instead"):
                ask("What now?", lm=lm, approve="ask")
        with pytest.raises(fleet.UserError, match="did you mean 'edits'"):
            fleet.start("What now?", lm=lm, approve="edit")
    assert server.calls == 0


def test_where_nothing_confines_code_the_run_says_what_the_policy_does_not_hold_for() -> None:
    with model(react_step=[DONE] * 2, react_extract=ANSWER) as (_, lm):
        for sandbox, warned in (("process", 1), ("local", 0)):
            run = fleet.start("What now?", lm=lm, mode="tools_only", approve="ask", sandbox=sandbox)
            told = [event for event in run.wait().events() if isinstance(event, ev.Note)]
            assert sum("nothing confines it" in one.text for one in told) == warned


def asked_of(tool: str, policy: Policy, loaded: bool = False, **arguments: Any) -> str | None:
    """What one call asks."""
    log = RunLog("r")
    return Approvals(log, policy, is_loaded=lambda address: loaded)._question(tool, arguments)


URL = "https://example.com/a b.pdf"


@pytest.mark.parametrize(
    ("tool", "arguments", "ask", "edits"),
    [
        ("load_document", {"path": URL}, f"Fetch {URL}?", True),
        ("load_document", {"path": "notes.md"}, None, False),
        ("load_document", {}, None, False),
        ("load_repository", {"repo_url": "https://example.com/r.git"}, "Clone https://example.com/r.git?", True),
        ("load_repository", {"repo_url": "here"}, None, False),
        ("grounded_answer", {"question": "q", "document": URL}, f"Fetch {URL}?", True),
        ("grounded_answer", {"question": "q"}, None, False),
        ("edit_core_memory", {"section": "human"}, "Change human in the memory of this session?", False),
        ("write_buffer", {}, "Write to the buffer (no name)?", False),
        ("semantic_map", {"buffer": "b", "document": URL}, f"Fetch {URL} and write the replies to the buffer b?", True),
        ("mine", {"x": "a\nb"}, 'Use mine({"x": "a\\nb"})?', True),
        ("mine", {"x": "y" * 900}, None, True),
    ],
)
def test_a_question_says_what_would_be_done(tool: str, arguments: Any, ask: str | None, edits: bool) -> None:
    told = asked_of(tool, "ask", **arguments)
    assert told == ask or (tool == "mine" and len(str(told)) < 420)
    assert (asked_of(tool, "edits", **arguments) is not None) == edits
    assert asked_of(tool, "auto", **arguments) is None


def test_what_was_fetched_already_is_not_asked_about_but_a_new_fetch_is() -> None:
    assert asked_of("analyse_document", "ask", loaded=True, document=URL) is None
    assert asked_of("load_document", "ask", loaded=True, path=URL) is not None


def test_the_page_on_tools_tells_who_asks() -> None:
    rows = "\n".join(["| tool | what it does beyond the run | `edits` | `ask` |", "|---|---|---|---|", *_rows()])
    page = (Path(__file__).parents[2] / "docs" / "tools.md").read_text("utf-8")
    assert rows in page, f"the table should be:\n{rows}"


def _rows() -> Iterator[str]:
    by_effects: dict[Any, list[str]] = {}
    for tool, effects in EFFECTS.items():
        by_effects.setdefault(effects, []).append(tool)
    for effects, tools in by_effects.items():
        told = "; ".join(_told(effect) for effect in effects) or "nothing"
        edits = "asks" if any(not effect.is_kept for effect in effects) else ""
        yield f"| {', '.join(f'`{tool}`' for tool in tools)} | {told} | {edits} | {'asks' if effects else ''} |"


def _told(effect: Any) -> str:
    says = re.sub(r"\{(\w+)\}", r"`\1`", effect.says)
    if effect.is_reused:
        return f"{says}, an address nothing was loaded from yet"
    if effect.is_address:
        return f"{says}, if it is an address"
    return says if effect.given is None else f"{says}, if one is named"
