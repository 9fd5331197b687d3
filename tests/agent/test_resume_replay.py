"""What is recorded is told again, not done again, and not paid again: cells, queries, tools, threads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.agent.request import request
from fleet_rlm.agent.resume import Surroundings
from fleet_rlm.agent.runtime import begin
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import ModelError, RunStopped
from tests.agent.legs import Walkers
from tests.agent.resuming import BROKEN, cells, failed, is_whole, outputs
from tests.twins.replies import Gate, Reply, too_long
from tests.twins.running import BIG, FIND, SUBMIT, kinds, model
from tests.twins.scripts import Prompt, answer, react_step, rlm_action


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
