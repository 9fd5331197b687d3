"""A turn that goes on works on the documents it began with, and the session keeps what the user did meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import ModelError
from tests.sessions.talking import DONE, kernel, saying
from tests.twins.replies import Gate, Reply, refused_key
from tests.twins.running import model
from tests.twins.scripts import react_step

CUT = react_step("cut the active one", "chunk_document", strategy="size")
LOOK = react_step("look", "execute_code", code="print(first_chunks)")


def load(path: Path, alias: str = "") -> Any:
    return react_step("load", "load_document", path=str(path), alias=alias)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Texts that hold their own names, in a directory the agent may read."""
    monkeypatch.setenv("FLEET_ROOTS", str(tmp_path))
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.txt").write_text(f"this is {name}")
    return tmp_path


def cut_off(session: fleet.Session, lm: str) -> fleet.Run:
    with pytest.raises(ModelError) as caught:
        session.ask("What?", lm=lm)
    return caught.value.run


def loaded(session: fleet.Session) -> dict[str, str]:
    return {one.alias: one.text for one in session.documents}


def warnings(run: fleet.Run) -> list[str]:
    return [note.text for note in run.tree.notes if note.level == "warning"]


def active(session: fleet.Session) -> str | None:
    return session.documents.active.alias if session.documents.active is not None else None


def test_it_has_the_text_and_the_active_document_of_its_beginning(files: Path) -> None:
    steps = [CUT, refused_key(), CUT, LOOK, DONE]
    with model(react_step=steps, react_extract=saying()) as (server, lm), fleet.Session("incident") as session:
        session.load(files / "one.txt", "first")
        run = cut_off(session, lm)
        session.load(files / "two.txt", "first")
        session.load(files / "three.txt", "second")
        again = session.resume(run).wait()
        assert "['this is one']" in server.requests[-1].text
        assert (loaded(session), active(session)) == ({"first": "this is two", "second": "this is three"}, "second")
        assert warnings(again) == []


def test_what_it_loads_again_in_its_old_order_changes_nothing_that_came_before(files: Path) -> None:
    steps = [CUT, load(files / "two.txt", "second"), refused_key(), CUT, LOOK, DONE]
    with model(react_step=steps, react_extract=saying()) as (server, lm), fleet.Session("incident") as session:
        session.load(files / "one.txt", "first")
        run = cut_off(session, lm)
        assert active(session) == "second"
        session.resume(run).wait()
        assert "`second_chunks` holds 1 chunks" in server.requests[-3].text
        assert "['this is one']" in server.requests[-1].text
        assert (list(loaded(session)), active(session)) == (["first", "second"], "second")


def test_where_both_replaced_a_document_yours_stays_and_the_turns_gets_another_name(files: Path) -> None:
    steps = [CUT, refused_key(), load(files / "three.txt", "first"), DONE, load(files / "one.txt", "first"), DONE]
    with model(react_step=steps, react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        session.load(files / "one.txt", "first")
        run = cut_off(session, lm)
        session.load(files / "two.txt", "first")
        again = session.resume(run).wait()
        assert loaded(session) == {"first": "this is two", "first_2": "this is three"}
        assert active(session) == "first_2"
        assert warnings(again) == ["first was loaded by you and by this turn: yours stays, the turn's is first_2"]
        session.ask("And now?", lm=lm)
        assert loaded(session)["first"] == "this is one"  # a turn that saw yours replaces it as it likes


def test_the_document_you_chose_meanwhile_stays_the_active_one_and_the_turn_says_so(files: Path) -> None:
    steps = [refused_key(), load(files / "two.txt", "second"), DONE]
    with model(react_step=steps, react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        session.load(files / "one.txt", "first")
        run = cut_off(session, lm)
        session.load(files / "three.txt", "third")
        again = session.resume(run).wait()
        assert active(session) == "third"
        assert warnings(again) == ["the active document is still third, chosen since; the turn's is second"]


def test_what_an_earlier_leg_brought_is_not_brought_again(files: Path) -> None:
    steps = [load(files / "two.txt", "first"), load(files / "two.txt", "second"), refused_key(), DONE]
    with model(react_step=steps, react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        session.load(files / "one.txt", "first")
        run = cut_off(session, lm)
        assert loaded(session) == {"first": "this is two", "second": "this is two"}
        session.load(files / "three.txt", "first")
        again = session.resume(run).wait()
        assert loaded(session) == {"first": "this is three", "second": "this is two"}
        assert (active(session), warnings(again)) == ("first", [])


def test_a_branch_begins_with_the_documents_of_its_turn(files: Path) -> None:
    steps = [CUT, load(files / "two.txt", "first"), DONE, DONE, LOOK, DONE]
    with model(react_step=steps, react_extract=saying()) as (server, lm), fleet.Session("incident") as session:
        session.load(files / "one.txt", "first")
        run = session.ask("What?", lm=lm)
        session.load(files / "three.txt", "third")
        session.ask("And now?", lm=lm)
        second = [span.id for span in run.tree.spans.values() if span.type == "llm"][1]
        session.branch(run, second, reply=str(CUT)).wait()
        assert "['this is one']" in server.requests[-1].text
        assert (loaded(session), active(session)) == ({"first": "this is two", "third": "this is three"}, "third")


@pytest.mark.parametrize("is_saved_meanwhile", [False, True])
def test_so_does_a_turn_whose_kernel_was_killed(is_saved_meanwhile: bool, files: Path) -> None:
    gate, keep = Gate(), react_step("remember", "edit_core_memory", section="human", content="Ada")
    begin = [CUT, load(files / "two.txt", "first"), *([keep] if is_saved_meanwhile else [])]
    steps = [*begin, Reply("never", gate=gate), LOOK, DONE]
    code = f"s = Session('incident')\ns.load({str(files / 'one.txt')!r}, 'first')\ns.ask('What?', lm=sys.argv[1])"
    with model(react_step=steps, react_extract=saying()) as (server, lm):
        process = kernel(code, lm)
        server.wait_for(len(begin) + 1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        gate.open()
        with fleet.Session("incident") as session:
            assert loaded(session) == {"first": "this is one"}
            session.load(files / "three.txt", "third")
            session.resume(session.turns[-1].run).wait()
            assert "['this is one']" in server.requests[-1].text
            assert (loaded(session), active(session)) == ({"first": "this is two", "third": "this is three"}, "third")


def test_a_directory_is_there_again_and_a_file_that_was_loaded_once_more_is_no_other(files: Path) -> None:
    (files / "all").mkdir()
    (files / "all" / "a.txt").write_text("in the directory")
    look = react_step("look", "execute_code", code="print(first, everything['a.txt'])")
    with model(react_step=[refused_key(), look, DONE], react_extract=saying()) as (server, lm):
        with fleet.Session("incident") as session:
            session.load(files / "one.txt", "first")
            session.load(files / "all", "everything")
            run = cut_off(session, lm)
            assert warnings(run) == []
            session.load(files / "one.txt", "first")
            session.resume(run).wait()
    assert "this is one in the directory" in server.requests[-1].text


def test_a_record_that_is_damaged_is_named_and_without_it_the_turn_has_the_documents_of_now(files: Path) -> None:
    with model(react_step=[CUT, refused_key(), DONE], react_extract=saying()) as (_, lm):
        with fleet.Session("incident") as session:
            session.load(files / "one.txt", "first")
            run = cut_off(session, lm)
            assert run.log.directory is not None
            kept = run.log.directory / "documents.json"
            kept.write_text("{")
            with pytest.raises(fleet.FleetError, match="is damaged; remove it"):
                session.resume(run)
            kept.unlink()
            assert session.resume(run).wait().status == "ok"
