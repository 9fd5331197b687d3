"""Whole runs, over a real HTTP model server and a real sandbox."""

from __future__ import annotations

import asyncio
import copy
import itertools
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fleet_rlm as fleet
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import BudgetExhausted, ModelError, RunStopped
from fleet_rlm.core.loop import run_sync
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply, refused_key, server_error, too_long, unknown_model
from tests.twins.scripts import answer, by_role, react_step, rlm_action

BIG = "".join(f"line {i}: nothing here\n" for i in range(20_000)) + "the magic number is 7481\n"

FIND = "import re\nfound = re.search(r'magic number is (\\d+)', context).group(1)\nprint(found)"
SUBMIT = "SUBMIT(answer=found)"


@contextmanager
def model(**roles: Any) -> Iterator[tuple[LMServer, str]]:
    with LMServer(by_role(**roles)) as server:
        yield server, f"m@{server.base_url}"


def kinds(run: fleet.Run, kind: str) -> list[str]:
    return [span.name for span in run.tree.spans.values() if span.type == kind]


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


def test_the_value_is_sent_to_the_sandbox_and_only_described_to_the_model() -> None:
    with model(rlm_action=[rlm_action("search", FIND), rlm_action("submit", SUBMIT)]) as (server, lm):
        fleet.run("What is the magic number?", context=BIG, lm=lm, mode="rlm_only")
    assert all(len(request.text) < 12_000 for request in server.requests)
    assert f"{len(BIG):,} characters" in server.requests[0].text


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


def test_an_exhausted_budget_is_told_to_the_code_and_still_ends_in_an_answer() -> None:
    code = (
        "for i in range(50):\n    try:\n        llm_query(f'question {i}')\n"
        "    except Exception as error:\n        print(i, error)\n        break"
    )
    with model(rlm_action=rlm_action("ask a lot", code), bare="ok", rlm_extract=answer(answer="partly")) as (
        server,
        lm,
    ):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only", budget=6)
    assert (run.status, run.answer) == ("exhausted", "partly")
    assert server.calls == run.budget.spent.calls == 6
    assert "finish with what you have" in next(s.output or "" for s in run.tree.spans.values() if s.type == "code")


def test_a_budget_too_small_for_any_answer_is_a_clear_error_with_the_trace() -> None:
    gate = Gate()
    with (
        model(rlm_action=Reply("late", gate=gate)) as (_, lm),
        pytest.raises(BudgetExhausted, match="cut off after 1 s") as caught,
    ):
        fleet.run("What?", context=BIG, lm=lm, mode="rlm_only", timeout=1)
    run = caught.value.run
    assert run.status == "exhausted"
    assert isinstance(run.events()[-1], ev.RunEnd)


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


def test_a_cell_that_never_ends_is_interrupted_and_the_model_told() -> None:
    with model(
        rlm_action=[rlm_action("loop", "kept = 1\nwhile True: pass"), rlm_action("submit", "SUBMIT(answer=kept)")]
    ) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only", cell_timeout=0.5)
    assert run.answer == "1"
    assert "CellTimeout" in server.requests[1].text


def test_five_unreadable_replies_end_the_run_with_one_sentence() -> None:
    with (
        model(rlm_action="I would rather not.") as (server, lm),
        pytest.raises(ModelError, match="5 replies in a row that cannot be read") as caught,
    ):
        fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert server.calls == 5
    assert caught.value.run.status == "failed"


def test_an_unreadable_reply_is_asked_again_with_the_fault_named() -> None:
    with model(rlm_action=["mumble", rlm_action("find", FIND), rlm_action("submit", SUBMIT)]) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == "7481"
    assert "could not be read" in server.requests[1].text


def test_a_prompt_that_outgrows_the_window_is_shortened_and_the_run_goes_on() -> None:
    noisy = [rlm_action("print a lot", f"print('noise {i} ' * 3000)") for i in range(4)]
    replies = [*noisy, too_long(limit=8192, asked=9999)]
    replies.append(rlm_action("submit", "SUBMIT(answer='done')"))
    with model(rlm_action=replies) as (_, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == "done"
    assert any("outgrew the context window" in note.text for note in run.tree.notes)


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


def test_a_dollar_limit_that_cannot_be_kept_is_refused() -> None:
    with (
        model(direct=answer(answer="x")) as (_, lm),
        pytest.raises(fleet.UserError, match=r"the price of .* is not known"),
    ):
        fleet.run("What?", context="small", lm=lm, budget=fleet.Budget(usd=1.0))


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


def test_a_budget_can_be_lowered_while_the_run_goes_on() -> None:
    gate = Gate()
    first = Reply(str(rlm_action("look", "print(1)")), gate=gate)
    with model(rlm_action=[first, rlm_action("never", "1")], rlm_extract=answer(answer="early")) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        server.wait_for(1)
        run.limit(calls=2)
        gate.open()
        run.wait(30)
    assert (run.status, run.answer, server.calls) == ("exhausted", "early", 2)
    assert run.budget.remaining.calls == 0


def test_a_part_of_a_run_can_be_capped_while_it_goes_on() -> None:
    gate = Gate()
    code = "for i in range(9):\n    try: llm_query(f'q{i}')\n    except Exception as e: print('refused', e); break"
    turns = [Reply(str(rlm_action("ask", code)), gate=gate), rlm_action("submit", "SUBMIT(answer=i)")]
    with model(rlm_action=turns, bare="ok", rlm_extract=answer(answer="capped")) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        server.wait_for(1)
        run.limit(span=next(span.id for span in run.tree.spans.values() if span.type == "rlm"), calls=3)
        gate.open()
        run.wait(30)
    assert (run.status, run.answer) == ("exhausted", "capped")
    assert server.calls == 1 + 3 + 1


def test_time_can_be_added_while_the_run_goes_on() -> None:
    gate = Gate()
    with model(direct=Reply(str(answer(answer="late")), gate=gate)) as (server, lm):
        run = fleet.start("What?", context="small", lm=lm, timeout=1.5)
        server.wait_for(1)
        run.limit(seconds=60)
        with pytest.raises(TimeoutError):
            run.wait(2)
        gate.open()
        assert run.wait(30).answer == "late"


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [({"cals": 3}, "no limit 'cals'"), ({"calls": 0}, "at least 1"), ({"span": "s99", "calls": 1}, "no span 's99'")],
)
def test_a_wrong_limit_is_one_sentence_and_changes_nothing(limits: dict[str, Any], sentence: str) -> None:
    gate = Gate()
    with model(direct=Reply(str(answer(answer="x")), gate=gate)) as (_, lm):
        run = fleet.start("What?", context="small", lm=lm, budget=5)
        with pytest.raises(fleet.UserError, match=sentence):
            run.limit(**limits)
        gate.open()
        assert run.wait(30).budget.spent.calls == 1
        with pytest.raises(fleet.UserError, match="has ended"):
            run.limit(calls=9)


def test_a_history_that_fills_the_window_is_cut_before_it_fails_and_stays_whole_in_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEET_WINDOW", "12000")
    noisy = [rlm_action("print a lot", f"print('begin {i}', 'noise ' * 1500, 'end {i}')") for i in range(6)]
    with model(rlm_action=[*noisy, rlm_action("submit", "SUBMIT(answer=outputs[0][-5:])")]) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == "end 0"
    assert "the whole output is outputs[0]" in server.requests[-1].text
    assert "end 5" in server.requests[-1].text
    assert max(len(request.text) for request in server.requests) < 12_000 * 3.2
    assert any("fills 60% of the context window" in note.text for note in run.tree.notes)


def test_history_only_grows_at_its_end_while_it_fits() -> None:
    cells = [rlm_action(f"step {i}", f"print({i})") for i in range(4)]
    with model(rlm_action=[*cells, rlm_action("submit", "SUBMIT(answer=1)")]) as (server, lm):
        fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    prompts = [request.text.rpartition("[[ ## iteration ## ]]")[0].rstrip() for request in server.requests]
    for earlier, later in itertools.pairwise(prompts[1:]):
        assert later.startswith(earlier)


def test_a_loop_without_progress_is_told_and_then_ended_with_an_answer() -> None:
    with model(rlm_action=rlm_action("again", "print('same')"), rlm_extract=answer(answer="gave up")) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert "try another way" in server.requests[2].text
    assert (run.status, run.answer, server.calls) == ("exhausted", "gave up", 5)


def test_sub_queries_run_as_wide_as_asked_and_no_wider() -> None:
    gate = Gate()
    code = "SUBMIT(answer=len(llm_query_batched([f'q{i}' for i in range(9)])))"
    with model(rlm_action=rlm_action("ask", code), bare=Reply("ok", gate=gate)) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only", concurrency=3)
        server.wait_for(1 + 3)
        with pytest.raises(TimeoutError):
            server.wait_for(1 + 4, timeout=0.5)
        gate.open()
        assert run.wait(30).answer == "9"


def test_identical_prompts_of_a_batch_are_asked_once_and_failures_are_raised_together() -> None:
    code = (
        "try:\n    llm_query_batched(['a', 'a', '', 7])\nexcept Exception as error:\n    print(error)\n"
        "print(llm_query_batched(['a', '', 'a'], return_exceptions=True))"
    )
    with model(rlm_action=[rlm_action("ask", code), rlm_action("submit", "SUBMIT(answer=1)")], bare="yes") as (
        server,
        lm,
    ):
        fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert server.calls == 2 + 2
    told = server.requests[-1].text
    assert "2 of 3 sub-queries failed" in told
    assert "QueryError" in told
    assert "['yes', " in told


def test_a_prompt_too_long_for_the_sub_model_is_refused_with_the_size_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEET_WINDOW", "1000")
    code = "try:\n    llm_query(context)\nexcept Exception as error:\n    SUBMIT(answer=str(error))"
    with model(rlm_action=rlm_action("ask", code)) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert "takes about 2,560" in run.answer
    assert "llm_query_batched" in run.answer
    assert server.calls == 1


def test_files_and_pictures_of_generated_code_are_kept_with_the_run(fleet_home: Path) -> None:
    code = (
        "import os\nos.makedirs('artifacts', exist_ok=True)\n"
        "open('artifacts/table.csv', 'w').write('a,b\\n1,2\\n')\nSUBMIT(answer='written')"
    )
    with model(rlm_action=rlm_action("write", code)) as (_, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    (table,) = [artifact for artifact in run.artifacts if artifact.name == "table.csv"]
    assert (table.mime, table.bytes) == ("text/csv", 8)
    assert Path(table.path).read_text() == "a,b\n1,2\n"
    assert Path(table.path).is_relative_to(fleet_home)


def test_a_long_answer_is_whole(fleet_home: Path) -> None:
    with model(rlm_action=rlm_action("long", "SUBMIT(answer=context)")) as (_, lm):
        run = fleet.run("All?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == BIG
    assert fleet.Run.from_jsonl(fleet_home / "runs" / run.id / "events.jsonl").answer == BIG


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


def test_submitting_nothing_is_told_to_the_model() -> None:
    with model(rlm_action=[rlm_action("none", "SUBMIT(None)"), rlm_action("one", "SUBMIT(answer=1)")]) as (server, lm):
        assert fleet.run("What?", context=BIG, lm=lm, mode="rlm_only").answer == "1"
    assert "SUBMIT was given None" in server.requests[1].text


def test_a_traceback_shows_the_lines_of_the_cell_and_none_of_the_sandbox() -> None:
    failing = "def ask():\n    return llm_query('')\nask()"
    with model(rlm_action=[rlm_action("fail", failing), rlm_action("end", "SUBMIT(answer=1)")]) as (server, lm):
        fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    told = server.requests[1].text
    assert "return llm_query('')" in told
    assert "QueryError: the prompt is empty" in told
    assert "sandbox/guest" not in told
