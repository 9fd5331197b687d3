"""The sessions of a home are listed, found, opened, moved and forgotten, whatever kind of volume they live in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.sessions.archive import exported, imported
from fleet_rlm.sessions.deleting import delete_files
from fleet_rlm.sessions.durable import Durable
from fleet_rlm.sessions.errors import ManifestMissing, SessionExists, SessionInUse, SessionNotFound
from fleet_rlm.sessions.shelf import Shelf
from fleet_rlm.sessions.state import State
from fleet_rlm.sessions.turns import Turn
from fleet_rlm.sessions.volumes import LocalVolumes, Volumes
from tests.sessions.volumes.places import MemoryVolumes

KINDS: dict[str, Callable[[Path], Volumes]] = {
    "local": LocalVolumes,
    "memory": lambda home: MemoryVolumes(home / "texts"),
}


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, fleet_home: Path) -> Shelf:
    return Shelf(fleet_home, KINDS[request.param](fleet_home))


def kept(shelf: Shelf, name: str = "incident", volume: str | None = None) -> State:
    """A saved session with one turn, one document and one file."""
    durable = Durable(shelf, shelf.new(name, volume))
    state = durable.state
    state.turns.add(Turn.ended("What?", "an answer", "ok", f"run-of-{name}", None))
    state.documents.add("report", f"/{name}.txt", "text", [f"a text of {name}"])
    durable.save()
    durable.release()
    shelf.volume(state.volume).write(f"artifacts/run-of-{name}/plot.svg", "a plot")
    return state


def opened(shelf: Shelf, name: str) -> State:
    durable = Durable(shelf, shelf.find(name))
    durable.release()
    return durable.state


def names(shelf: Shelf) -> list[str]:
    return sorted(entry.name for entry in shelf.entries())


def test_what_was_saved_is_listed_found_by_name_and_id_and_opened(shelf: Shelf) -> None:
    state, other = kept(shelf), kept(shelf, "other", "team")
    assert [(one.name, one.volume, one.turns) for one in shelf.entries()] == [
        ("other", "team", 1),
        ("incident", state.id, 1),
    ]
    assert shelf.find("incident") == shelf.find(state.id)
    assert shelf.find("other").id == other.id
    again = opened(shelf, "incident")
    assert [turn.answer for turn in again.turns] == ["an answer"]
    assert again.documents.get("report").text == "a text of incident"


def test_a_name_that_is_not_there_or_taken_is_told(shelf: Shelf) -> None:
    kept(shelf)
    with pytest.raises(SessionNotFound, match="did you mean 'incident'"):
        shelf.find("incidnt")
    with pytest.raises(SessionExists):
        shelf.new("incident")
    with pytest.raises(fleet.UserError, match="cannot be the name of a volume"):
        shelf.volume("../elsewhere")


def test_what_lists_tell_is_made_again_from_the_volumes(shelf: Shelf) -> None:
    kept(shelf)
    kept(shelf, "other", "team")
    before = shelf.entries()
    for number, path in enumerate(sorted((shelf.home / "sessions").glob("*.json"))):
        path.unlink() if number else path.write_text("{")
    assert shelf.entries() == before
    assert opened(shelf, "other").volume == "team"


def test_a_session_whose_state_is_gone_is_listed_and_one_that_was_never_saved_is_not(shelf: Shelf) -> None:
    state = kept(shelf)
    shelf.volume(state.volume).forget(state.id)
    shelf.volume("team").meta("never-saved")
    assert names(shelf) == ["incident"]
    with pytest.raises(ManifestMissing):
        opened(shelf, "incident")


def test_deleting_takes_a_volume_of_its_own_and_of_a_shared_one_what_the_session_left(shelf: Shelf) -> None:
    kept(shelf)
    kept(shelf, "doomed", "team")
    kept(shelf, "staying", "team")
    shelf.volume("team").write("memory/notes.md", "of the team")
    for name in ("incident", "doomed"):
        texts = shelf.documents(shelf.find(name))
        delete_files(shelf, shelf.find(name))
        assert not texts.exists()
    assert names(shelf) == ["staying"]
    assert shelf.volumes.names() == ["team"]
    left = [entry.path for entry in shelf.volume("team").tree() if not entry.is_folder]
    assert left == ["artifacts/run-of-staying/plot.svg", "memory/notes.md"]
    assert opened(shelf, "staying").documents.get("report").text == "a text of staying"


def test_a_session_that_is_open_is_not_deleted(shelf: Shelf) -> None:
    kept(shelf)
    holder = Durable(shelf, shelf.find("incident"))
    with pytest.raises(SessionInUse):
        delete_files(shelf, shelf.find("incident"))
    holder.release()
    assert names(shelf) == ["incident"]


def test_it_goes_into_a_file_and_comes_out_of_it(shelf: Shelf, tmp_path: Path) -> None:
    state = kept(shelf)
    file = exported(state, shelf.volume(state.volume), shelf, tmp_path / "out.zip")
    copy = imported(shelf, file, "copy")
    assert names(shelf) == ["copy", "incident"]
    assert opened(shelf, "copy").documents.get("report").text == "a text of incident"
    assert shelf.volume(copy.volume).read("artifacts/run-of-incident/plot.svg") == b"a plot"


def test_an_import_that_fails_leaves_no_volume(shelf: Shelf, tmp_path: Path) -> None:
    state = kept(shelf)
    (state.documents.directory / state.documents.get("report").sha256).write_text("changed")
    file = exported(state, shelf.volume(state.volume), shelf, tmp_path / "out.zip")
    with pytest.raises(fleet.UserError, match="is damaged"):
        imported(shelf, file, "copy")
    assert shelf.volumes.names() == [state.volume]


def test_sessions_are_listed_while_their_volumes_are_away(fleet_home: Path) -> None:
    volumes = MemoryVolumes(fleet_home / "texts")
    shelf = Shelf(fleet_home, volumes)
    kept(shelf)
    volumes.is_away = True
    assert names(shelf) == ["incident"]
