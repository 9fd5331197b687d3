"""What is deleted for good is gone from the disk, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.sessions.deleting import delete_files, delete_session
from fleet_rlm.sessions.errors import SessionInUse
from fleet_rlm.sessions.shelf import Shelf
from tests.sessions.talking import DONE, saying
from tests.twins.running import model


def ask(name: str, volume: str | None = None, **context: str) -> fleet.Run:
    with model(react_step=[DONE], react_extract=saying()) as (_, lm), fleet.Session(name, volume=volume) as session:
        return session.ask("What?", lm=lm, context=context)


def values(home: Path) -> set[str]:
    return {path.read_text() for path in (home / "values").iterdir()}


def test_values_that_only_its_runs_use_go_with_it(fleet_home: Path) -> None:
    ask("doomed", mine="an okapi", shared="an ocelot")
    ask("kept", shared="an ocelot")
    assert values(fleet_home) >= {"an okapi", "an ocelot"}
    delete_session("doomed")
    assert "an okapi" not in values(fleet_home)
    assert "an ocelot" in values(fleet_home)
    delete_session("kept")
    assert not values(fleet_home) & {"an okapi", "an ocelot"}


def test_of_a_shared_volume_its_state_and_the_files_of_its_runs_go(fleet_home: Path) -> None:
    runs = {name: ask(name, volume="team").id for name in ("doomed", "kept")}
    volume = fleet_home / "volumes" / "team"
    for run in runs.values():
        (volume / "artifacts" / run).mkdir(parents=True)
        (volume / "artifacts" / run / "plot.png").write_bytes(b"a plot")
    (volume / "memory").mkdir(exist_ok=True)
    (volume / "memory" / "notes.md").write_text("of the team")
    entry = delete_session("doomed")
    assert not (volume / "artifacts" / runs["doomed"]).exists()
    assert (volume / "artifacts" / runs["kept"] / "plot.png").exists()
    assert (volume / "memory" / "notes.md").read_text() == "of the team"
    assert [path.name for path in (volume / "meta" / "sessions").iterdir()] == [Shelf().find("kept").id]
    assert not [path for path in fleet_home.rglob("*") if entry.id in str(path)]


def test_a_run_that_is_named_like_a_path_leads_nowhere(fleet_home: Path, tmp_path: Path) -> None:
    """What a log says its run is called was written by code in a kernel."""
    ask("doomed")
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = fleet_home / "volumes" / "another"
    inside.mkdir(parents=True)
    shelf = Shelf()
    names = ("..", ".", "", "../volumes/another", "../../outside", str(outside), "../../" + outside.name)
    delete_files(shelf, shelf.find("doomed"), names)
    assert outside.exists()
    assert inside.exists()
    assert (fleet_home / "runs").exists()


def test_a_session_that_is_open_is_left_whole(fleet_home: Path) -> None:
    run = ask("doomed", mine="an okapi")
    with fleet.Session("doomed"), pytest.raises(SessionInUse):
        delete_session("doomed")
    assert (fleet_home / "runs" / run.id).exists()
    assert "an okapi" in values(fleet_home)
