"""The loop of an RLM: cells, replies that cannot be read, a history that stays within the window, repetition."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import ModelError
from tests.twins.replies import too_long
from tests.twins.running import BIG, FIND, SUBMIT, model
from tests.twins.scripts import answer, rlm_action


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


def test_every_output_that_was_cut_is_whole_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_WINDOW", "12000")
    noisy = [rlm_action("print a lot", f"print('begin {i}', 'noise ' * 5000, 'end {i}')") for i in range(10)]
    last = "SUBMIT(answer=[outputs[i][-5:] for i in range(7)])"
    with model(rlm_action=[*noisy, rlm_action("submit", last)]) as (_, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert [note.text for note in run.tree.notes if "outputs are cut" in note.text][1:]  # cut more than once
    assert str(run.answer) == str([f"end {i}" for i in range(7)])


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


def test_the_value_is_sent_to_the_sandbox_and_only_described_to_the_model() -> None:
    with model(rlm_action=[rlm_action("search", FIND), rlm_action("submit", SUBMIT)]) as (server, lm):
        fleet.run("What is the magic number?", context=BIG, lm=lm, mode="rlm_only")
    assert all(len(request.text) < 12_000 for request in server.requests)
    assert f"{len(BIG):,} characters" in server.requests[0].text
