"""Texts of documents leave the disk when no revision and no run needs them, and not before."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import ModelError
from fleet_rlm.sessions.manifest.revisions import KEPT
from fleet_rlm.sessions.shelf import Shelf
from fleet_rlm.sessions.state import texts_of
from tests.sessions.talking import DONE, kernel, saying
from tests.twins.replies import Gate, Reply, refused_key
from tests.twins.running import model
from tests.twins.scripts import react_step

CUT = react_step("cut the active one", "chunk_document", strategy="size")
LOOK = react_step("look", "execute_code", code="print(first_chunks)")
MANY = 3 * KEPT


def load(path: Path) -> Any:
    return react_step("load", "load_document", path=str(path), alias="first")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file the agent may read, and whose text is replaced again and again."""
    monkeypatch.setenv("FLEET_ROOTS", str(tmp_path))
    return tmp_path / "one.txt"


def replace(session: fleet.Session, source: Path, times: int = MANY) -> None:
    for number in range(times):
        source.write_text(f"text {number}")
        session.load(source, "first")


def names(name: str = "incident") -> set[str]:
    return set(os.listdir(Shelf().documents(Shelf().find(name))))


def needed() -> set[str]:
    shelf = Shelf()
    states = shelf.revisions(shelf.find("incident"), writable=False).states()
    return {text for state in states for text in texts_of(state)}


def test_replaced_texts_go_and_those_of_kept_revisions_stay(source: Path) -> None:
    with fleet.Session("incident") as session:
        replace(session, source)
        assert len(names()) <= 2 * KEPT + 1
        assert session.documents.get("first").text == f"text {MANY - 1}"
    assert needed() <= names()


def test_the_index_of_a_directory_stays_with_its_text(source: Path) -> None:
    source.write_text("in the directory")
    look = react_step("look", "execute_code", code="print(first['one.txt'])")
    with model(react_step=[refused_key(), look, DONE], react_extract=saying()) as (server, lm):
        with fleet.Session("incident") as session:
            session.load(source.parent, "first")
            with pytest.raises(ModelError) as caught:
                session.ask("What?", lm=lm)
            replace(session, source)
        with fleet.Session("incident") as session:
            session.resume(caught.value.run.id).wait()
    assert "in the directory" in server.requests[-1].text


def test_nothing_goes_once_somebody_else_may_have_the_session(source: Path) -> None:
    with fleet.Session("incident") as session:
        (Shelf().home / "sessions" / f"{session.id}.lease").unlink()
        replace(session, source)
        assert len(names()) == MANY


def test_what_a_turn_began_with_and_what_it_loaded_is_there_when_it_goes_on(source: Path) -> None:
    source.write_text("of the beginning")
    other = source.with_name("two.txt")
    other.write_text("loaded by the turn")
    steps = [CUT, load(other), CUT, load(source), refused_key(), LOOK, DONE]
    with model(react_step=steps, react_extract=saying()) as (server, lm), fleet.Session("incident") as session:
        session.load(source, "first")
        with pytest.raises(ModelError) as caught:
            session.ask("What?", lm=lm)
        other.unlink()
        replace(session, source)
        session.resume(caught.value.run).wait()
        assert "['loaded by the turn']" in server.requests[-1].text


def test_so_is_it_when_the_kernel_was_killed_in_between(source: Path) -> None:
    source.write_text("loaded by the turn")
    gate = Gate()
    steps = [load(source), CUT, Reply("never", gate=gate), LOOK, DONE]
    with model(react_step=steps, react_extract=saying()) as (server, lm):
        process = kernel("Session('incident').ask('What?', lm=sys.argv[1])", lm)
        server.wait_for(3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        gate.open()
        with fleet.Session("incident") as session:
            replace(session, source)
            session.resume(session.turns[-1].run).wait()
            assert "['loaded by the turn']" in server.requests[-1].text


@pytest.mark.parametrize("record", [None, "{", '{"begun": {"documents": []}, "left": {"documents": []}}'])
def test_where_a_run_does_not_tell_what_it_needs_all_stays(record: str | None, source: Path) -> None:
    with model(react_step=[DONE], react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        run = session.ask("What?", lm=lm)
        assert run.log.directory is not None
        kept = run.log.directory / "documents.json"
        kept.unlink() if record is None else kept.write_text(record)
        replace(session, source)
        assert len(names()) == MANY


def test_so_it_does_where_a_revision_cannot_be_read(source: Path) -> None:
    with fleet.Session("incident") as session:
        replace(session, source, 3)
    shelf = Shelf()
    oldest, *_ = sorted(shelf.documents(shelf.find("incident")).parent.glob("manifest-*.json"))
    oldest.write_text("{")
    before = names()
    fleet.Session("incident").close()
    assert names() == before


def test_the_half_of_a_load_that_was_cut_goes(source: Path) -> None:
    with fleet.Session("incident") as session:
        replace(session, source, 1)
    half = Shelf().documents(Shelf().find("incident")) / ".partial-of-a-killed-kernel"
    half.write_text("half")
    with fleet.Session("incident") as session:
        assert session.documents.get("first").text == "text 0"
    assert not half.exists()


def test_a_session_without_documents_has_no_directory_for_them() -> None:
    fleet.Session("incident").close()
    assert not Shelf().documents(Shelf().find("incident")).exists()
