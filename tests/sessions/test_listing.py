"""What `%fleet session list|delete` does, in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.sessions.errors import SessionInUse, SessionNotFound


def test_sessions_are_listed_and_deleted_by_name_or_id(fleet_home: Path) -> None:
    assert fleet.Session.list() == []
    for name in ("one", "two", "three"):
        fleet.Session(name).close()
    assert [entry.name for entry in fleet.Session.list()] == ["three", "two", "one"]
    two = fleet.Session.list()[1]
    assert (two.turns, two.volume) == (0, two.id)
    assert fleet.Session.delete("one").name == "one"
    assert fleet.Session.delete(two.id) == two
    assert [entry.name for entry in fleet.Session.list()] == ["three"]
    assert not (fleet_home / "volumes" / two.id).exists()
    with pytest.raises(SessionNotFound, match="did you mean 'three'"):
        fleet.Session.delete("thre")


def test_one_that_is_open_is_not_deleted() -> None:
    with fleet.Session("one") as session, pytest.raises(SessionInUse, match=r"this process .*session\.close\(\)"):
        session.delete("one")
    assert [entry.name for entry in fleet.Session.list()] == ["one"]


def test_those_of_another_home_are_its_own(tmp_path: Path) -> None:
    fleet.Session("here").close()
    fleet.Session("there", home=tmp_path / "elsewhere").close()
    assert [entry.name for entry in fleet.Session.list(home=tmp_path / "elsewhere")] == ["there"]
    fleet.Session.delete("there", home=tmp_path / "elsewhere")
    assert fleet.Session.list(home=tmp_path / "elsewhere") == []
    assert [entry.name for entry in fleet.Session.list()] == ["here"]
