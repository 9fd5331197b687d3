"""A run goes on where its log ends: what is recorded is told again, not done again, and not paid again."""

from __future__ import annotations

import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any

import dspy
import pandas as pd
import pytest

import fleet_rlm as fleet
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.agent.request import request
from fleet_rlm.agent.resume import Surroundings
from fleet_rlm.agent.runtime import begin
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import FleetError, ModelError, RunStopped
from fleet_rlm.core.log import MAX_VALUE
from tests.agent.legs import Walkers
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply, budget_used_up, quota_used_up, refused_key, server_error, too_long
from tests.twins.running import BIG, FIND, SUBMIT, kinds, model
from tests.twins.scripts import Prompt, answer, react_step, rlm_action

BROKEN = refused_key()


def cells(*codes: str | Reply) -> list[str | Reply]:
    """What an RLM's model replies in turn; a Reply stands for itself."""
    return [code if isinstance(code, Reply) else rlm_action("-", code) for code in codes]


def failed(lm: Any, context: Any = BIG, **options: Any) -> fleet.Run:
    """A run that has ended without an answer."""
    with pytest.raises(FleetError) as caught:
        fleet.run("What?", context=context, lm=lm, mode="rlm_only", **options)
    return caught.value.run


def from_disk(run: fleet.Run, home: Path) -> fleet.Run:
    return fleet.Run.from_jsonl(home / "runs" / run.id / "events.jsonl")


def outputs(run: fleet.Run) -> list[str]:
    return [span.output or "" for span in run.tree.spans.values() if span.type == "code"]


def is_whole(run: fleet.Run, home: Path) -> bool:
    """Whether the log on disk is the run's, gap-free, with nothing left open."""
    open_ = [span for span in run.tree.spans.values() if span.end is None]
    return from_disk(run, home).tree.canonical() == run.tree.canonical() and not open_


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


def test_a_long_output_and_a_long_reply_are_told_whole(fleet_home: Path) -> None:
    long = f"wide = context[:{MAX_VALUE * 2}]\nprint(wide)"
    noted = f"# {'x' * MAX_VALUE}\nfound = str(len(wide))\nprint(found)"
    with model(rlm_action=cells(long, noted, BROKEN, SUBMIT)) as (server, lm):
        run = failed(lm)
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == (str(MAX_VALUE * 2), asked + 1)


def test_output_whose_file_is_gone_is_had_again_and_only_a_lost_reply_is_asked_again(fleet_home: Path) -> None:
    long = f"wide = context[:{MAX_VALUE * 2}]\nprint(wide)"
    with model(rlm_action=cells(long, FIND, BROKEN, SUBMIT)) as (server, lm):
        run = failed(lm)
        (kept,) = (fleet_home / "runs" / run.id / "artifacts").iterdir()
        kept.unlink()
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", asked + 1)
        assert "line 100: nothing here" in server.requests[-1].text
    noted = f"# {'x' * MAX_VALUE}\n{FIND}"
    with model(rlm_action=cells("print(1)", noted, BROKEN, FIND, SUBMIT)) as (server, lm):
        run = failed(lm)
        for kept in (fleet_home / "runs" / run.id / "artifacts").iterdir():
            kept.unlink()
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", asked + 2)
        assert again.usage.llm_calls == again.budget.spent.calls == server.calls


def test_a_file_that_changed_or_is_gone_is_named_and_can_be_given_again(tmp_path: Path) -> None:
    file = tmp_path / "numbers.txt"
    file.write_text(BIG)
    read = "found = str(len(numbers))\nprint(found)"
    with model(rlm_action=cells(read, BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm, context={"numbers": file})
        file.write_text(BIG + "more")
        with pytest.raises(fleet.UserError, match=r"numbers .*has changed since the run began.*context={'numbers'"):
            run.resume()
        file.unlink()
        with pytest.raises(fleet.UserError, match=r"numbers .*is gone"):
            run.resume()
        with pytest.raises(fleet.UserError, match="no variable 'letters'; it has numbers"):
            run.resume(context={"letters": 1})
        file.write_text(BIG)
        again = run.resume(context={"numbers": file}).wait()
    assert again.answer == str(len(BIG))


def test_a_value_that_is_not_kept_is_asked_for() -> None:
    data = {"frame": pd.DataFrame({"n": [1, 2]}), "odd": {(1, 2): "tuple keys"}}
    with model(rlm_action=cells("found = str(len(odd)) + str(frame.n.sum())", BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm, context=data)
        with pytest.raises(fleet.UserError, match=r"odd .*of a kind that is not kept.*context={'odd': \.\.\.}"):
            run.resume()
        assert run.resume(context={"odd": data["odd"]}).wait().answer == "13"


def test_with_no_room_for_data_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, fleet_home: Path) -> None:
    monkeypatch.setenv("FLEET_KEEP_MB", "0")
    with model(rlm_action=cells(FIND, BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm)
        assert list((fleet_home / "values").iterdir()) == []
        with pytest.raises(fleet.UserError, match=r"context is not kept \(FLEET_KEEP_MB is 0\)"):
            run.resume()
        assert run.resume(context=BIG).wait().answer == "7481"


def test_data_that_was_lost_before_it_was_kept_is_asked_for(fleet_home: Path) -> None:
    with model(rlm_action=cells(FIND, BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm)
        kept = fleet_home / "runs" / run.id / "context.json"
        kept.write_bytes(kept.read_bytes()[:10])
        with pytest.raises(fleet.UserError, match="context was not kept"):
            run.resume()
        kept.unlink()
        with pytest.raises(fleet.UserError, match="context was not kept"):
            run.resume()
        assert run.resume(context=BIG).wait().answer == "7481"


def test_a_model_that_was_given_as_an_object_is_asked_for() -> None:
    with LMServer(lambda *_: BROKEN) as server:
        lm = dspy.LM("openai/test", api_base=server.base_url, api_key="k", cache=False, num_retries=0)
        run = failed(lm)
    with model(rlm_action=cells(FIND, SUBMIT)) as (server, _):
        lm = dspy.LM("openai/test", api_base=server.base_url, api_key="k", cache=False, num_retries=0)
        with pytest.raises(ModelError, match=r"openai/test was given as an object; give it again: lm=dspy.LM"):
            run.resume()
        assert run.resume(lm=lm).wait().answer == "7481"


def test_another_model_can_go_on_and_stays_for_the_next_time() -> None:
    asking = "asked = llm_query_batched(['a', 'b'])\nfound = llm_query('c')\nprint(asked)"
    gate = Gate()

    def bare(prompt: Prompt) -> Reply:
        return Reply("late", gate=gate) if prompt.user == "c" else Reply(f"re: {prompt.user}")

    with model(rlm_action=cells(asking), bare=bare) as (first, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        first.wait_for(4)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)
    with model(rlm_action=cells(BROKEN, SUBMIT), bare="from the other") as (second, other):
        with pytest.raises(ModelError) as caught:
            run.resume(lm=other.replace("m@", "n@")).wait()
        again = caught.value.run.resume().wait()
        assert again.answer == "from the other"
        texts = [request.text for request in second.requests]
    assert [text for text in texts if len(text) < 5] == ["c"]  # what the first model said of a and b stays


def test_a_full_disk_loses_nothing_while_the_process_lives(fleet_home: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    cell = "print('x' * 3_000)"
    with model(rlm_action=cells(FIND, cell, cell, cell, BROKEN, SUBMIT)) as (server, lm):
        try:
            warm = fleet.run("?", lm="fleet/offline", mode="rlm_only", context=BIG)  # its sandboxes write, too
            assert warm.status in ("ok", "exhausted")
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, old[1]))
            run = failed(lm, context="small")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, handler)
        assert any("kept in memory only" in note.text for note in run.tree.notes)
        asked = server.calls
        again = run.resume(context="the magic number is 7481").wait()
        assert server.calls == asked + 1
    assert again.answer == "7481"
    assert is_whole(again, fleet_home)


def test_a_clock_that_was_set_back_changes_nothing(monkeypatch: pytest.MonkeyPatch, fleet_home: Path) -> None:
    with model(rlm_action=cells(FIND, BROKEN, SUBMIT)) as (server, lm):
        run = failed(lm, timeout=600)
        now = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: now() - 86_400 * 10**9)
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", 3)
    assert is_whole(again, fleet_home)
    assert len(again.spans()) == len(again.tree.spans)


def test_a_cell_that_is_not_deterministic_is_told_as_it_ran_first() -> None:
    chance = "import random\nsecret = random.random()\nprint(secret)\nprint(llm_query(f'what of {secret}?'))"
    with model(rlm_action=cells(chance, BROKEN, "SUBMIT(answer='done')"), bare="fine") as (server, lm):
        run = failed(lm)
        (printed,) = outputs(run)
        asked = server.calls
        again = run.resume().wait()
        assert server.calls == asked + 1
        assert printed.strip() in server.requests[-1].text
    assert outputs(again)[0] == printed
    assert again.usage.llm_calls == again.budget.spent.calls == server.calls


def test_a_cell_that_is_not_deterministic_and_asks_more_when_it_is_rebuilt_is_not_paid_for() -> None:
    once = (
        "import os, pathlib\nn = 1 if not pathlib.Path(f'{mark}').exists() else 3\n"
        "replies = []\n"
        "for i in range(n):\n    replies.append(llm_query(f'question {i} of {os.getpid()}'))\nprint(n)"
    )
    with model(
        rlm_action=cells("mark = '/proc/self/fd/999'", once, BROKEN, SUBMIT.replace("found", "'x'")), bare="fine"
    ) as (server, lm):
        run = failed(lm)
        asked = server.calls
        again = run.resume().wait()
        assert server.calls == asked + 1
    assert again.answer == "x"


def test_a_cell_that_killed_its_sandbox_is_not_run_again_and_told_as_it_was() -> None:
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    with model(rlm_action=cells(FIND, kill, FIND, BROKEN, SUBMIT)) as (server, lm):
        run = failed(lm)
        asked = server.calls
        told = next(note.text for note in run.tree.notes if "sandbox ended" in note.text)
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", asked + 1)
        assert told in server.requests[-1].text
    assert sum("sandbox ended" in note.text for note in again.tree.notes) == 1


def test_sub_queries_that_failed_and_were_handled_are_handled_again() -> None:
    handled = (
        "got = llm_query_batched([f'q{i}' for i in range(6)], return_exceptions=True)\n"
        "bad = [i for i, one in enumerate(got) if isinstance(one, Exception)]\nprint(bad)"
    )

    def bare(prompt: Prompt) -> str | Reply:
        return BROKEN if prompt.user in ("q1", "q4") else f"re: {prompt.user}"

    with model(rlm_action=cells(handled, BROKEN, SUBMIT.replace("found", "str(bad)")), bare=bare) as (server, lm):
        run = failed(lm)
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("[1, 4]", asked + 1)
        assert again.usage.llm_calls == again.budget.spent.calls == server.calls


def test_a_sub_query_that_failed_and_that_the_model_answered_to_is_not_asked_again() -> None:
    replies = iter([BROKEN, "fine"])
    retry = "found = llm_query('again')"
    with model(
        rlm_action=cells("llm_query('once')", retry, "print(found)", BROKEN, SUBMIT), bare=lambda prompt: next(replies)
    ) as (server, lm):
        run = failed(lm)
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("fine", asked + 1)


def test_unreadable_replies_are_part_of_what_happened() -> None:
    with model(rlm_action=[Reply("mumble"), *cells(FIND), Reply("mumble"), *cells(BROKEN, SUBMIT)]) as (server, lm):
        run = failed(lm)
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", asked + 1)
    assert kinds(again, "iteration") == [f"{n}/20" for n in range(1, 5)]


def test_a_prompt_that_was_too_long_is_shortened_again_without_asking() -> None:
    wide = "print(context[:8_000])"
    look = (
        "print(len(_outputs[0]))" if False else "print('kept' if [n for n in globals() if 'output' in n] else 'lost')"
    )
    with model(rlm_action=cells(wide, wide, too_long(10, 20), look, BROKEN, FIND, SUBMIT)) as (server, lm):
        run = failed(lm)
        assert "kept" in outputs(run)[-1]
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", asked + 2)
        assert again.usage.llm_calls == again.budget.spent.calls == server.calls
    assert not any("run again for its variables" in note.text for note in again.tree.notes)


def test_threads_that_query_are_told_what_they_were_told() -> None:
    threads = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool:\n    got = list(pool.map(llm_query, [f'q{i}' for i in range(24)]))\n"
        "found = ' '.join(got)\nprint(found)"
    )
    with model(rlm_action=cells(threads, BROKEN, SUBMIT), bare=lambda prompt: prompt.user.upper()) as (server, lm):
        run = failed(lm)
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == (" ".join(f"Q{i}" for i in range(24)), asked + 1)


def test_a_thread_that_outlives_its_cell_is_told_what_it_was_told_whichever_cell_runs() -> None:
    begin = (
        "import threading, time\ngot = {}\n"
        "def ask():\n    for i in range(12):\n        while i not in got:\n"
        "            try:\n                got[i] = llm_query(f'q{i}')\n"
        "            except RuntimeError:\n                time.sleep(0.001)\n"
        "thread = threading.Thread(target=ask)\nthread.start()\n"
        "while len(got) < 4:\n    time.sleep(0.001)"
    )
    end = "thread.join()\nfound = ' '.join(got[i] for i in range(12))\nprint(found)"
    with model(rlm_action=cells(begin, end, BROKEN, SUBMIT), bare=lambda prompt: prompt.user.upper()) as (server, lm):
        run = failed(lm)
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == (" ".join(f"Q{i}" for i in range(12)), asked + 1)
        assert again.usage.llm_calls == again.budget.spent.calls


def four_answers(run: fleet.Run) -> threading.Event:
    """Set when four children of the run have answered."""
    done, answered = threading.Event(), []

    def note(event: ev.Event) -> None:
        if isinstance(event, ev.SpanEnd) and (event.output or "").startswith("what is"):
            span = run.tree.spans[str(event.span)]
            answered.extend([span] if span.type == "rlm" else [])
            if len(answered) == 4:
                done.set()

    run.log.subscribe(note, since=0)
    return done


def test_equal_prompts_over_different_contexts_keep_their_answers() -> None:
    gate = Gate()

    def action(prompt: Prompt) -> str | Reply:
        if "children" in prompt.inputs["variables_info"]:
            return rlm_action(
                "-",
                "found = sub_rlm_batched(['what is it?'] * 6, contexts=[str(i) for i in range(6)])\nprint(found)"
                if prompt.inputs["iteration"].startswith("1/")
                else "SUBMIT(answer=found)",
            )
        return rlm_action("-", "SUBMIT(answer=llm_query(f'what is {context}?'))")

    def bare(prompt: Prompt) -> str | Reply:
        late = prompt.user in ("what is 1?", "what is 3?")
        return Reply(prompt.user, gate=gate) if late else prompt.user

    with model(rlm_action=action, bare=bare) as (server, lm):
        run = fleet.start("The children?", context=BIG, lm=lm, mode="rlm_only")
        done = four_answers(run)
        done.wait(30)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)
        gate.open()
        asked = server.calls
        again = run.resume().wait()
        assert again.answer == str([f"what is {i}?" for i in range(6)])
        assert {request.text for request in server.requests[asked:-1]} == {"what is 1?", "what is 3?"}


def test_an_agent_goes_on_with_its_steps_and_tools(fleet_home: Path) -> None:
    steps = [
        react_step("count", "execute_code", code="n = len(context)\nn"),
        react_step("oops", "execute_code", wrong=1),
        react_step("ask", "delegate_to_rlm", query="find it", context="the magic number is 12"),
        BROKEN,
        react_step("use", "execute_code", code="n + 1"),
        react_step("done", "finish"),
    ]
    with model(
        react_step=steps,
        rlm_action=cells(FIND, SUBMIT),
        bare="x",
        react_extract=answer(reasoning="-", answer="fine"),
    ) as (server, lm):
        with pytest.raises(ModelError) as caught:
            fleet.run("What?", context=BIG, lm=lm)
        asked = server.calls
        again = caught.value.run.resume().wait()
        assert (again.answer, server.calls) == ("fine", asked + 3)
        assert str(len(BIG) + 1) in server.requests[-1].text
        assert "execute_code failed" in server.requests[-1].text
    assert kinds(again, "step") == [f"step {n}" for n in range(1, 6)]
    assert is_whole(again, fleet_home)


def test_what_an_agent_wrote_into_its_memory_is_not_written_twice() -> None:
    room = Workspace(memory=CoreMemory())
    steps = [react_step("keep", "edit_core_memory", section="human", content="Ada"), BROKEN, react_step("-", "finish")]
    with model(react_step=steps, react_extract=answer(reasoning="-", answer="x")) as (server, lm):
        run = begin(request("Who am I?", lm=lm), workspace=room)
        with pytest.raises(ModelError):
            run.wait()
        assert fleet.resume(run, around=Surroundings(workspace=room)).wait().answer == "x"
    assert room.memory is not None
    assert room.memory.sections["human"].count("Ada") == 1
    assert "human is now:" in server.requests[-1].text


def test_a_turn_of_a_session_is_resumed_in_its_session() -> None:
    room = Workspace(memory=CoreMemory())
    with model(react_step=BROKEN) as (_, lm):
        run = begin(request("Who am I?", lm=lm), workspace=room, session="s-1")
        with pytest.raises(ModelError):
            run.wait()
    with pytest.raises(fleet.UserError, match=r"is a turn of session s-1; go on with it there"):
        run.resume()


def test_a_question_that_was_asked_directly_goes_on() -> None:
    with model(direct=["mumble", BROKEN, answer(answer="clear")]) as (server, lm):
        with pytest.raises(ModelError) as caught:
            fleet.run("What?", context="small", lm=lm)
        again = caught.value.run.resume().wait()
        assert (again.answer, again.usage.llm_calls, server.calls) == ("clear", 3, 3)


def test_live_output_of_a_cell_that_is_run_again_is_told_once() -> None:
    slow = "import time\nprint('one', flush=True)\ntime.sleep(0.7)\nprint('two', flush=True)\nprint(llm_query('q'))"
    gate = Gate()
    with model(rlm_action=cells(slow, "SUBMIT(answer='x')"), bare=lambda prompt: Reply("late", gate=gate)) as (
        server,
        lm,
    ):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        server.wait_for(2)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)
        gate.open()
        again = run.resume().wait()
    (code, _) = [span for span in again.tree.spans.values() if span.type == "code"]
    assert code.stdout.count("one") == code.stdout.count("two") == 1


def test_a_run_killed_after_its_turn_and_before_its_end_is_ok_without_a_call(fleet_home: Path) -> None:
    with model(rlm_action=cells(FIND, SUBMIT)) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
        log = fleet_home / "runs" / run.id / "events.jsonl"
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
        again = fleet.resume(run.id).wait()
        assert (again.answer, again.status, server.calls) == ("7481", "ok", 2)
    assert {span.status for span in again.tree.spans.values()} == {"ok"}
    assert is_whole(again, fleet_home)


def test_the_stand_in_resumes_in_another_process(fleet_home: Path) -> None:
    with Walkers() as walkers:
        leg = {"home": str(fleet_home), "lm": "fleet/offline", "context": BIG}
        assert walkers.walk({**leg, "die_at": 25}) is None
        (log,) = (fleet_home / "runs").iterdir()
        told = walkers.walk({"home": str(fleet_home), "run": log.name})
        whole = walkers.walk(leg)
    assert told is not None
    assert whole is not None
    assert (told["status"], told["answer"]) == (whole["status"], whole["answer"])
