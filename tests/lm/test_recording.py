"""Recorded replies: a run repeated from a file, without a model, and what the file holds."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import ModelError, UserError
from tests.twins.running import BIG, FIND, SUBMIT, model
from tests.twins.scripts import answer, react_step, rlm_action

TASK = "What is the magic number?"
ASK = "notes = llm_query_batched([f'part {i}' for i in range(5)])\nprint(notes)"


def recorded(path: Path, context: str = BIG, task: str = TASK) -> fleet.Run:
    with model(
        react_step=[react_step("look", "delegate_to_rlm", query="find it"), react_step("done", "finish")],
        react_extract=answer(reasoning="it was found", answer="7481"),
        rlm_action=[rlm_action("ask", ASK), rlm_action("search", FIND), rlm_action("submit", SUBMIT)],
        bare=lambda prompt: f"read {prompt.user}",
    ) as (_, lm):
        return fleet.run(task, context=context, lm=lm, record=path)


def test_a_recorded_run_is_repeated_without_a_model(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    first = recorded(path)
    again = fleet.run(TASK, context=BIG, replay=path)
    assert (again.answer, again.status) == (first.answer, "ok") == ("7481", "ok")
    assert [(s.type, s.output) for s in again.tree.spans.values() if s.type == "llm"] == [
        (s.type, s.output) for s in first.tree.spans.values() if s.type == "llm"
    ]
    assert (again.usage.llm_calls, again.usage.cost_usd) == (first.usage.llm_calls, 0.0)
    assert [note.text for note in again.tree.notes] == [f"replies are replayed from {path}; no model is called"]


def test_the_latest_recording_of_a_question_is_replayed_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    recorded(path, task="Another question?")
    with model(direct=answer(answer="first")) as (_, lm):
        fleet.run("Small?", context="little", lm=lm, record=path)
    with model(direct=answer(answer="second")) as (_, lm):
        fleet.run("Small?", context="little", lm=lm, record=path)
    assert fleet.run("Small?", context="little", replay=path).answer == "second"
    assert fleet.run("Another question?", context=BIG, replay=path).answer == "7481"


def test_other_data_is_told_from_the_recorded_and_not_answered_from_it(tmp_path: Path) -> None:
    recorded(tmp_path / "replies.jsonl")
    with pytest.raises(ModelError, match=r"has no reply to this request.*record it again with --record"):
        fleet.run(TASK, context=BIG + " more", replay=tmp_path / "replies.jsonl")


def test_a_question_that_was_not_recorded_is_refused_naming_those_that_were(tmp_path: Path) -> None:
    recorded(tmp_path / "replies.jsonl")
    with pytest.raises(UserError, match=r"has no recording of this question; it has: 'What is the magic number\?'"):
        fleet.start("Something else?", context=BIG, replay=tmp_path / "replies.jsonl")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file"),
        ("not json\n{}\n", "is not a recording of fleet-rlm"),
        ('{"run": "r", "v": 9}\n{"run": "r", "v": 9}\n', "recorded by a later fleet-rlm"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "replies.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=says):
        fleet.start(TASK, context=BIG, replay=path)


def test_a_recording_that_was_cut_off_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    recorded(path)
    path.write_bytes(path.read_bytes() + b'{"run": "cut')
    assert fleet.run(TASK, context=BIG, replay=path).answer == "7481"


def test_recording_and_replaying_at_once_or_with_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    recorded(path)
    with pytest.raises(UserError, match="recorded or replayed, not both"):
        fleet.start(TASK, context=BIG, record=path, replay=path)
    with pytest.raises(UserError, match="a replayed run calls no model"):
        fleet.start(TASK, context=BIG, lm="fleet/offline", replay=path)


def test_the_file_is_private_and_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "canary-5f2c9e71")
    path = tmp_path / "replies.jsonl"
    with model(direct=answer(answer="the key is canary-5f2c9e71")) as (_, lm):
        fleet.run("Small?", context="little", lm=lm, record=path)
    assert path.stat().st_mode & 0o077 == 0
    assert "canary-5f2c9e71" not in path.read_text()


def test_what_the_stand_in_recorded_says_so_when_it_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    first = fleet.run("How many lines?", context="a\nb\n", record=path)
    again = fleet.run("How many lines?", context="a\nb\n", replay=path)
    assert (again.answer, again.offline) == (first.answer, True)


@pytest.mark.parametrize("text", ["name,amount\nAda,3\n", "one line without an end", '{"run": "r"}\n'])
def test_nothing_is_recorded_into_a_file_that_is_something_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "amounts.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="not a recording of fleet-rlm"):
        fleet.start(TASK, context=BIG, lm="fleet/offline", record=path)
    assert path.read_text() == text


def test_a_recording_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    recorded(path)
    path.write_bytes(path.read_bytes() + b'{"run": "cut')
    with model(direct=answer(answer="a few")) as (_, lm):
        fleet.run("Small?", context="little", lm=lm, record=path)
    assert fleet.run("Small?", context="little", replay=path).answer == "a few"
    assert fleet.run(TASK, context=BIG, replay=path).answer == "7481"


def test_a_full_disk_is_named_and_what_was_recorded_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    recorded(path)
    whole = path.read_bytes()
    with model(direct=answer(answer="a few")) as (_, lm), _no_more_than(len(whole) + 50):
        with pytest.raises(ModelError, match=r"cannot be recorded in .*replies\.jsonl: File too large; make room"):
            fleet.run("Small?", context="little", lm=lm, record=path)
    assert path.read_bytes() == whole
    assert fleet.run(TASK, context=BIG, replay=path).answer == "7481"


@contextmanager
def _no_more_than(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
