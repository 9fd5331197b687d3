"""Whole runs, over a real HTTP model server and a real sandbox."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fleet_rlm as fleet
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import ModelError, RunStopped
from fleet_rlm.core.loop import run_sync
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply, refused_key, server_error, too_long, unknown_model
from tests.twins.running import BIG, FIND, SUBMIT, kinds, model
from tests.twins.scripts import answer, react_step, rlm_action


def test_a_turn_goes_from_agent_to_rlm_to_cell_and_back() -> None:
    with model(
        react_step=[react_step("look", "delegate_to_rlm", query="find the magic number"), react_step("done", "finish")],
        react_extract=answer(reasoning="it was found", answer="7481"),
        rlm_action=[rlm_action("search", FIND), rlm_action("submit", SUBMIT)],
    ) as (server, lm):
        run = fleet.run("What is the magic number?", context=BIG, lm=lm)
    assert (run.answer, run.status) == ("7481", "ok")
    assert server.calls == run.usage.llm_calls == 5
    shape = [(level, span.type) for level, span in run.tree.walk()]
    assert shape == [
        *[(0, "turn"), (1, "sandbox"), (1, "step"), (2, "llm"), (2, "tool"), (3, "rlm")],
        *[(4, "iteration"), (5, "llm"), (5, "code"), (4, "iteration"), (5, "llm"), (5, "code")],
        *[(1, "step"), (2, "llm"), (1, "llm")],
    ]


def test_events_are_in_order_gap_free_and_end_with_the_run() -> None:
    with model(rlm_action=[rlm_action("search", FIND), rlm_action("submit", SUBMIT)]) as (_, lm):
        run = fleet.run("What is the magic number?", context=BIG, lm=lm, mode="rlm_only")
    events = run.events()
    assert [event.seq for event in events] == list(range(len(events)))
    assert isinstance(events[0], ev.RunStart)
    assert isinstance(events[-1], ev.RunEnd)
    opened: list[str | None] = []
    for event in events:
        if isinstance(event, ev.SpanStart):
            assert event.parent == (opened[-1] if opened else None)
            opened.append(event.span)
        elif isinstance(event, ev.SpanEnd):
            assert opened.pop() == event.span
    assert opened == []


def test_the_run_is_read_back_from_its_log_as_the_same_tree(fleet_home: Path, tmp_path: Path) -> None:
    with model(rlm_action=[rlm_action("search", FIND), rlm_action("submit", SUBMIT)]) as (_, lm):
        run = fleet.run("What is the magic number?", context=BIG, lm=lm, mode="rlm_only")
    again = fleet.Run.from_jsonl(run.to_jsonl(tmp_path / "run.jsonl"))
    assert again.tree.canonical() == run.tree.canonical()
    assert fleet.Run.from_jsonl(fleet_home / "runs" / run.id / "events.jsonl").tree.canonical() == run.tree.canonical()
    pd.testing.assert_frame_equal(again.spans(), run.spans())


def test_stop_cancels_the_call_in_flight_and_starts_nothing_after() -> None:
    gate = Gate()
    code = "llm_query_batched([f'question {i}' for i in range(40)])"
    with model(rlm_action=rlm_action("ask", code), bare=Reply("late", gate=gate)) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        server.wait_for(17)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(10)
        calls = server.calls
        gate.open()
        server.wait_idle()
        assert server.calls == calls == 17
    assert run.status == "stopped"
    assert {span.status for span in run.tree.spans.values() if span.type == "rlm"} == {"stopped"}


def test_stop_interrupts_a_cell_that_never_ends() -> None:
    with model(rlm_action=rlm_action("loop", "print('before', flush=True)\nwhile True: pass")) as (_, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        looping = threading.Event()
        run.log.subscribe(lambda event: looping.set() if getattr(event, "code", None) else None, since=0)
        assert looping.wait(30)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(10)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [(refused_key(), "key"), (unknown_model("m"), "m"), (server_error(500), "500|server")],
    ids=["refused key", "unknown model", "server error"],
)
def test_a_model_that_refuses_is_one_sentence_and_keeps_the_trace(reply: Reply, sentence: str) -> None:
    with model(direct=reply) as (_, lm), pytest.raises(ModelError, match=sentence) as caught:
        fleet.run("What?", context="small", lm=lm)
    assert caught.value.run.status == "failed"
    assert "\n" not in str(caught.value)


def test_a_failing_tool_is_an_observation_the_agent_can_act_on() -> None:
    with model(
        react_step=[react_step("odd", "execute_code", wrong=1), react_step("done", "finish")],
        react_extract=answer(reasoning="-", answer="fine"),
    ) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm)
    assert run.answer == "fine"
    assert "execute_code failed" in server.requests[1].text


def test_tools_only_gives_the_agent_no_way_to_delegate() -> None:
    with model(
        react_step=[react_step("count", "execute_code", code="len(context)"), react_step("done", "finish")],
        react_extract=answer(reasoning="-", answer="counted"),
    ) as (server, lm):
        run = fleet.run("How long?", context=BIG, lm=lm, mode="tools_only")
    assert "delegate_to_rlm" not in server.requests[0].text
    assert str(len(BIG)) in server.requests[1].text
    assert kinds(run, "rlm") == []


def test_cancelling_arun_stops_the_run() -> None:
    gate = Gate()

    async def ask(lm: str, server: LMServer) -> None:
        task = asyncio.create_task(fleet.arun("What?", context="small", lm=lm))
        await asyncio.to_thread(server.wait_for, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_idle)

    with model(direct=Reply("late", gate=gate)) as (server, lm):
        asyncio.run(ask(lm, server))
        assert [request.outcome for request in server.requests] == ["cancelled"]


def test_two_runs_at_once_do_not_mix() -> None:
    with model(direct=lambda prompt: answer(answer=prompt.inputs["question"])) as (_, lm):

        async def both() -> list[fleet.Run]:
            return await asyncio.gather(*(fleet.arun(f"question {i}", context="c", lm=lm) for i in range(5)))

        runs = run_sync(both())
    assert [run.answer for run in runs] == [f"question {i}" for i in range(5)]
    assert all(run.usage.llm_calls == 1 for run in runs)


def test_secrets_never_reach_the_log(monkeypatch: pytest.MonkeyPatch, fleet_home: Path) -> None:
    monkeypatch.setenv("MY_API_KEY", "canary-0123456789")
    with model(direct=answer(answer="the key is canary-0123456789")) as (_, lm):
        run = fleet.run("Repeat canary-0123456789", context="small canary-0123456789", lm=lm)
    assert "canary-0123456789" not in (fleet_home / "runs" / run.id / "events.jsonl").read_text()
    assert "[redacted]" in run.answer


def test_a_home_that_cannot_be_written_is_a_note_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    monkeypatch.setenv("FLEET_HOME", str(blocked))
    with model(direct=answer(answer="x")) as (_, lm):
        run = fleet.run("What?", context="small", lm=lm)
    assert run.answer == "x"
    assert "in memory only" in run.tree.notes[0].text


@pytest.mark.parametrize("mode", ["direct", "rlm_only"])
def test_an_unreadable_answer_is_asked_again_wherever_it_was_asked(mode: Any) -> None:
    once = ["mumble", answer(answer="clear")]
    with model(direct=once, rlm_action=rlm_action("again", "print(1)"), rlm_extract=once) as (server, lm):
        run = fleet.run("What?", context="small", lm=lm, mode=mode)
    assert run.answer == "clear"
    assert "could not be read" in server.requests[-1].text


def test_data_that_outgrows_a_direct_prompt_is_one_sentence() -> None:
    with model(direct=too_long(limit=10, asked=20)) as (_, lm), pytest.raises(ModelError, match="FLEET_DIRECT_CHARS"):
        fleet.run("What?", context="small", lm=lm)


def test_a_run_can_be_pickled_and_copied() -> None:
    with model(direct=answer(answer="x")) as (_, lm):
        run = fleet.run("What?", context="small", lm=lm)
    for again in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
        assert again.tree.canonical() == run.tree.canonical()


def test_a_run_whose_log_was_cut_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    with model(direct=answer(answer="x")) as (_, lm):
        lines = fleet.run("What?", context="small", lm=lm).to_jsonl(tmp_path / "run.jsonl").read_bytes().splitlines()
    (tmp_path / "run.jsonl").write_bytes(b"\n".join(lines[:-1]) + b"\n")
    cut = fleet.Run.from_jsonl(tmp_path / "run.jsonl")
    assert (cut.status, cut.answer, cut.error) == ("failed", None, "the log ends before the run did")


def test_a_full_disk_ends_the_log_on_disk_and_not_the_run() -> None:
    code = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "import fleet_rlm as fleet\nfleet.start\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))\n"
        "run = fleet.run('How many lines?', context='a\\nb\\n' * 100)\n"
        "print(run.status, type(run.events()[-1]).__name__)\n"
        "print([note.text for note in run.tree.notes])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("ok RunEnd")
    assert "the rest of the trace is kept in memory only" in done.stdout


def test_cancelling_arun_at_its_very_start_leaves_no_run_behind(fleet_home: Path) -> None:
    async def ask(lm: str) -> None:
        task = asyncio.create_task(fleet.arun("What?", context="small", lm=lm))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    gate = Gate()
    with model(direct=Reply("late", gate=gate)) as (server, lm):
        asyncio.run(ask(lm))
        server.wait_idle()
    (log,) = (fleet_home / "runs").glob("*/events.jsonl")
    assert fleet.Run.from_jsonl(log).status == "stopped"
