"""A session's rows in the store: there after its turns, and caught up after the store was away."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fleet_rlm as fleet
from fleet_rlm.sessions.deleting import delete_session
from fleet_rlm.sessions.recording import WAIT_SECONDS
from fleet_rlm.sessions.store import Scope, open_store
from fleet_rlm.sessions.turns import Turn
from tests.sessions.talking import DONE, saying
from tests.twins.running import model


@contextmanager
def rows() -> Iterator[Scope]:
    store = open_store()
    try:
        yield store.scoped()
    finally:
        store.close()


def ask(*questions: str, name: str = "incident") -> fleet.Run:
    with (
        model(react_step=[DONE] * len(questions), react_extract=saying("an answer")) as (_, lm),
        fleet.Session(name) as session,
    ):
        return [session.ask(question, lm=lm) for question in questions][-1]


def test_session_turns_and_events_are_in_the_store_when_the_session_is_closed() -> None:
    run = ask("First?", "Second?")
    with rows() as mine:
        session = mine.sessions.get("incident")
        turns = mine.turns.list("incident").items
        assert [(turn.index, turn.message, turn.answer, turn.status) for turn in turns] == [
            (0, "First?", "an answer", "ok"),
            (1, "Second?", "an answer", "ok"),
        ]
        stored = mine.runs.get(run.id)
        assert (stored.session_id, stored.status, stored.last_seq) == (session.id, "ok", len(run.events()) - 1)


def test_a_later_kernel_adds_to_the_same_rows() -> None:
    ask("First?")
    ask("Second?")
    with rows() as mine:
        assert [turn.message for turn in mine.turns.list("incident").items] == ["First?", "Second?"]


def test_a_store_that_is_away_is_a_note_and_is_caught_up_with_later(fleet_home: Path) -> None:
    (fleet_home / "fleet.db").mkdir(parents=True)  # no database can be opened there
    with (
        model(react_step=[DONE, DONE], react_extract=saying("an answer")) as (_, lm),
        fleet.Session("incident") as session,
    ):
        first = session.ask("First?", lm=lm)
        assert first.answer == "an answer"
        session._recording.wait()  # type: ignore[union-attr]
        (fleet_home / "fleet.db").rmdir()
        session.ask("Second?", lm=lm)
    with rows() as mine:
        assert [turn.message for turn in mine.turns.list("incident").items] == ["First?", "Second?"]
        assert mine.runs.get(first.id).status == "ok"


def test_a_turn_that_went_on_and_has_its_answer_has_it_there_too() -> None:
    with model(react_step=[DONE, DONE], react_extract=saying("an answer")) as (_, lm):
        with fleet.Session("incident") as session:
            cut = session.ask("First?", lm=lm, budget=1)
        with fleet.Session("incident") as session:
            session.resume(cut.id, budget=10, lm=lm).wait()
    assert cut.status == "exhausted"
    with rows() as mine:
        assert [(turn.answer, turn.status) for turn in mine.turns.list("incident").items] == [("an answer", "ok")]


def test_the_core_memory_is_there_with_who_wrote_it() -> None:
    with model(react_step=[DONE, DONE], react_extract=saying()) as (_, lm):
        with fleet.Session("incident") as session:
            session.memory.edit("human", "Ada")
            session.ask("First?", lm=lm)
            session.memory.edit("scratchpad", "checkout failed")  # after the last turn
        with rows() as mine:
            assert {one.text for one in mine.memory.list(session="incident").items} == {"Ada", "checkout failed"}
        with fleet.Session("incident") as session:
            session.memory.edit("human", "Ada Lovelace, ghp_" + "a1B2" * 9, "replace")
            session.memory.edit("scratchpad", "", "replace")
            session.ask("Second?", lm=lm)
    with rows() as mine:
        told = {one.kind: (one.text, one.provenance["who"]) for one in mine.memory.list(session="incident").items}
    assert told == {"human": ("Ada Lovelace, [redacted]", "user"), "scratchpad": ("", "user")}


def test_a_new_name_is_a_new_name_there_too() -> None:
    with model(react_step=[DONE], react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        session.ask("First?", lm=lm)
        session.rename("outage")
    with rows() as mine:
        assert [session.name for session in mine.sessions.list().items] == ["outage"]


def test_deleting_a_session_deletes_its_files_logs_and_rows(fleet_home: Path) -> None:
    run = ask("First?")
    ask("Other?", name="other")
    delete_session("incident")
    assert not (fleet_home / "runs" / run.id).exists()
    assert not list(fleet_home.glob("volumes/incident*"))
    assert not list(fleet_home.glob("sessions/incident*"))
    with rows() as mine:
        assert [session.name for session in mine.sessions.list().items] == ["other"]
        assert [one.task for one in mine.runs.list().items] == ["Other?"]
    with fleet.Session("other") as session:
        assert len(session.turns) == 1


def test_thousands_of_turns_that_are_missing_there_are_written_while_the_session_is_closed() -> None:
    with model(react_step=[DONE], react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        for number in range(5_000):
            session.turns.add(Turn.ended(f"question {number}", "an answer", "ok", f"r{number}", None))
        session.ask("Last?", lm=lm)
        begun = time.monotonic()
    assert time.monotonic() - begun < WAIT_SECONDS + 5
    with rows() as mine, fleet.Session("incident") as again:  # what was left is written before anything of the next
        assert again._recording is not None
        again._recording.wait()
        page = mine.turns.list("incident", offset=4_990)
        assert page.total == 5_001
        assert [turn.message for turn in page.items][-2:] == ["question 4999", "Last?"]


def test_closing_does_not_wait_for_a_store_that_somebody_holds_and_loses_nothing(fleet_home: Path) -> None:
    ask("First?")
    with model(react_step=[DONE], react_extract=saying("an answer")) as (_, lm):
        session = fleet.Session("incident")
        held = sqlite3.connect(fleet_home / "fleet.db", isolation_level=None)
        held.execute("BEGIN IMMEDIATE")
        session.ask("Second?", lm=lm)
        begun = time.monotonic()
        session.close()
        took = time.monotonic() - begun
        held.execute("ROLLBACK")
        held.close()
    assert took < WAIT_SECONDS + 2
    ask("Third?")
    with rows() as mine:
        assert [turn.message for turn in mine.turns.list("incident").items] == ["First?", "Second?", "Third?"]
