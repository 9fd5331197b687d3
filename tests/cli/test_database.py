"""`fleet db`: the store is brought up to date from a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_rlm.cli.main import main
from fleet_rlm.sessions.store import open_store
from fleet_rlm.sessions.store.migrations import versions
from tests.sessions.store.logs import begun, end


def test_upgrade_makes_the_store_and_says_where_it_is(fleet_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = sorted(Path(versions.__file__).parent.glob("0*.py"))[-1].name[:4]
    assert main(["db", "upgrade"]) == 0
    assert f"{fleet_home}/fleet.db has schema {newest}" in capsys.readouterr().out


def test_catch_up_reads_in_what_is_on_disk_and_says_what_is_not(
    fleet_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = begun("r1", fleet_home / "runs" / "r1")
    end(log)
    running = begun("r2", fleet_home / "runs" / "r2")
    assert main(["db", "catch-up"]) == 0
    told = capsys.readouterr().out
    assert "r1: 2 events read in" in told
    assert "r2: left as it is: run r2 is still going on" in told
    assert open_store().scoped().runs.get("r1").status == "ok"
    running.close()


def test_a_damaged_store_is_told_in_one_line(fleet_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet_home.mkdir()
    (fleet_home / "fleet.db").write_text("no database" * 100)
    assert main(["db", "catch-up"]) == 1
    assert "is damaged (file is not a database) and is left untouched" in capsys.readouterr().err


def test_check_says_whether_the_store_can_be_used(fleet_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "check"]) == 0
    assert f"{fleet_home}/fleet.db can be used" in capsys.readouterr().out
    (fleet_home / "fleet.db").write_text("no database" * 100)
    assert main(["db", "check"]) == 1
    assert "is damaged" in capsys.readouterr().err
