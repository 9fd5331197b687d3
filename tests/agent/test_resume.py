"""A run goes on where it ended, with what was spent counted, and only if it may."""

from __future__ import annotations

from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import ModelError, RunStopped
from tests.agent.legs import Walkers
from tests.agent.resuming import BROKEN, cells, failed, is_whole
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply, budget_used_up, quota_used_up, server_error
from tests.twins.running import BIG, FIND, SUBMIT, model
from tests.twins.scripts import answer, rlm_action


@pytest.mark.parametrize(
    "fault", [BROKEN, server_error(500), Reply("never whole", cut=10)], ids=["refused key", "500", "cut connection"]
)
def test_a_run_whose_model_failed_goes_on_where_it_failed(fault: Reply, fleet_home: Path) -> None:
    replies = iter(cells(FIND))
    with model(rlm_action=lambda prompt: next(replies, fault), bare="ok") as (server, lm):
        run = failed(lm)
        asked = server.calls
        replies = iter(cells(SUBMIT))
        again = run.resume().wait()
        assert (again.id, again.answer, again.status) == (run.id, "7481", "ok")
        assert server.calls == asked + 1
    failures = sum(span.type == "llm" and span.status == "error" for span in again.tree.spans.values())
    assert again.usage.llm_calls == again.budget.spent.calls == 2 + failures
    assert is_whole(again, fleet_home)


def test_a_stopped_run_goes_on(fleet_home: Path) -> None:
    gate = Gate()
    held = Reply(str(rlm_action("-", SUBMIT)), gate=gate)
    with model(rlm_action=[*cells(FIND), held, *cells(SUBMIT)]) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        server.wait_for(2)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)
        again = fleet.resume(run.id).wait()
        assert (again.answer, server.calls) == ("7481", 3)
        assert again.usage.llm_calls == again.budget.spent.calls == 3  # the call that was stopped had been made
    assert [span.status for span in again.tree.spans.values() if span.type == "rlm"] == ["ok"]
    assert is_whole(again, fleet_home)


def test_a_run_that_was_cut_off_by_its_time_goes_on_with_more() -> None:
    gate = Gate()
    held = Reply(str(rlm_action("-", SUBMIT)), gate=gate)
    with model(rlm_action=[*cells(FIND), held, *cells(SUBMIT)]) as (server, lm):
        run = failed(lm, timeout=2)
        assert run.status == "exhausted"
        with pytest.raises(fleet.UserError, match="give it more"):
            run.resume()
        again = run.resume(timeout=60).wait()
    assert (again.answer, again.status, server.calls) == ("7481", "ok", 3)


def test_an_exhausted_run_goes_on_from_where_its_budget_ended_it() -> None:
    cell = "for i in range(4):\n    print(llm_query(f'question {step}.{i}'))\nstep += 1"
    with model(
        rlm_action=cells("step = 0", cell, cell, SUBMIT.replace("found", "str(step)")),
        rlm_extract=answer(answer="partly"),
        bare="ok",
    ) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only", budget=8)
        assert (run.answer, run.status, server.calls) == ("partly", "exhausted", 8)
        with pytest.raises(fleet.UserError, match=r"give it more: run.resume\(budget=N\)"):
            run.resume()
        again = run.resume(budget=20).wait()
        assert again.status == "ok"
        assert again.budget.spent.calls == again.usage.llm_calls == server.calls <= 20
    texts = [request.text for request in server.requests]
    assert len([text for text in texts if text.startswith("question")]) == len(
        set(texts) & {f"question {step}.{i}" for step in range(2) for i in range(4)}
    )


@pytest.mark.parametrize("refusal", [quota_used_up(), budget_used_up()], ids=["quota", "grant"])
def test_a_run_that_the_gateway_refused_a_call_is_budget_stopped_at_once_and_goes_on_when_it_may(
    refusal: Reply, fleet_home: Path
) -> None:
    replies = iter(cells(FIND))
    with model(rlm_action=lambda prompt: next(replies, refusal), rlm_extract=refusal) as (server, lm):
        run = failed(lm)
        assert (run.status, run.error) == ("exhausted", f"budget: {refusal.error['message']}")
        assert server.calls == 3  # the cell, the refusal, and the finish, which is refused too; nothing is tried again
        assert run.usage.llm_calls == run.budget.spent.calls == 1
        replies = iter(cells(SUBMIT))
        again = run.resume().wait()
        assert (again.answer, again.status, server.calls) == ("7481", "ok", 4)
    assert again.usage.llm_calls == 2
    assert is_whole(again, fleet_home)


def test_what_was_spent_before_counts_towards_the_new_budget() -> None:
    cell = "n = globals().get('n', 0) + 1\nprint(n, llm_query(f'question {n}'))"
    with model(rlm_action=rlm_action("-", cell), rlm_extract=answer(answer="partly"), bare="ok") as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only", budget=6)
        again = run.resume(budget=11).wait()
        assert again.status == "exhausted"
        assert again.usage.llm_calls == again.budget.spent.calls == server.calls == 11


def test_a_limit_of_an_earlier_resume_holds_in_the_next() -> None:
    with model(rlm_action=cells(FIND, BROKEN, "print(1)", BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm, budget=fleet.Budget(calls=3, depth=1, children=7))
        with pytest.raises(ModelError) as caught:
            run.resume(budget=30).wait()
        again = caught.value.run.resume().wait()
    assert again.answer == "7481"
    resumed = [event.budget for event in again.events() if isinstance(event, ev.RunResume)]
    assert [(one.calls, one.depth, one.children) for one in resumed] == [(30, 1, 7)] * 2


def test_the_time_of_all_legs_counts() -> None:
    with model(rlm_action=cells("import time\ntime.sleep(1)", BROKEN, "print(1)", BROKEN, FIND, BROKEN)) as (_, lm):
        run = failed(lm, timeout=50)
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                run.resume().wait()
            run = caught.value.run
    seconds = [event.budget.seconds or 0 for event in run.events() if isinstance(event, ev.RunResume)]
    assert 49 > seconds[0] > seconds[1] > 40


def test_a_run_with_an_answer_is_not_resumed() -> None:
    with model(rlm_action=cells(FIND, SUBMIT)) as (_, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
        for one in (run, run.id):
            with pytest.raises(fleet.UserError, match=r"has its answer; run\.branch"):
                fleet.resume(one)
    assert not isinstance(run.events()[-1], ev.RunResume)


def test_a_run_that_another_process_works_on_is_not_resumed(fleet_home: Path) -> None:
    gate = Gate()
    with LMServer(lambda *_: Reply("late", gate=gate)) as server, Walkers() as walkers:
        walkers.begin({"home": str(fleet_home), "lm": f"m@{server.base_url}", "context": "small"})
        server.wait_for(1)
        (log,) = (fleet_home / "runs").iterdir()
        before = (log / "events.jsonl").read_bytes()
        with pytest.raises(fleet.UserError, match=f"run {log.name} is still going on; stop it where it was started"):
            fleet.resume(log.name)
        assert (log / "events.jsonl").read_bytes() == before
        gate.open()
        assert walkers.end() is not None


def test_a_run_of_this_process_is_not_resumed_while_it_goes_on() -> None:
    gate = Gate()
    with model(direct=Reply("late", gate=gate)) as (server, lm):
        run = fleet.start("What?", context="small", lm=lm)
        server.wait_for(1)
        with pytest.raises(fleet.UserError, match="still going on"):
            run.resume()
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)


def test_a_run_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(fleet.UserError, match=r"there is no (log of a )?run 'nowhere'"):
        fleet.resume("nowhere")


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(fleet.UserError, match=r"colour.*there are context, lm, sub_lm, budget, timeout"):
        fleet.resume("any", colour="red")


def test_a_torn_last_line_is_taken_off_and_a_whole_one_without_its_end_too(fleet_home: Path) -> None:
    with model(rlm_action=cells(FIND, BROKEN, BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm)
        log = fleet_home / "runs" / run.id / "events.jsonl"
        log.write_bytes(log.read_bytes() + b'{"kind":"note","v":1,"run":"' + "é".encode()[:1])
        with pytest.raises(ModelError):
            fleet.resume(run.id).wait()
        log.write_bytes(log.read_bytes()[:-1])
        again = fleet.resume(run.id).wait()
    assert again.answer == "7481"
    assert is_whole(again, fleet_home)


def test_a_log_with_a_gap_is_refused_and_left_as_it_is(fleet_home: Path) -> None:
    with model(rlm_action=cells(FIND, BROKEN)) as (_, lm):
        run = failed(lm)
    log = fleet_home / "runs" / run.id / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    for spoilt in (b"".join(lines[:4] + lines[5:]), b"no log\n", b"no log", b""):
        log.write_bytes(spoilt)
        with pytest.raises(fleet.UserError, match="not a complete fleet-rlm log"):
            fleet.resume(run.id)
        assert log.read_bytes() == spoilt
