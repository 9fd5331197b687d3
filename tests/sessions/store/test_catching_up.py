"""What is on disk and not in the store is read in, once, and from nobody who is still writing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_rlm.core.events import encode
from fleet_rlm.core.log import RunLog
from fleet_rlm.sessions.store import EventWriter, Scope, StoreUnavailable, catch_up, open_store
from tests.sessions.store.conftest import ADA
from tests.sessions.store.logs import begun, call, end, notes
from tests.twins.postgres import Database, Postgres

KILLED = """
import os, signal, sys
from pathlib import Path
from fleet_rlm.sessions.store import EventWriter, Identity, open_store
from tests.sessions.store.logs import begun, call

scope = open_store(sys.argv[1]).scoped(Identity("acme", "ada"))
scope.sessions.create("s", id="s1")
log = begun("r1", Path(sys.argv[2]) / "runs" / "r1")
writer = EventWriter(scope, log, session_id="s1")
for number in range(40):
    call(log)
    if number == 20:
        writer.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def on_disk(home: Path, run: str) -> list[bytes]:
    return (home / "runs" / run / "events.jsonl").read_bytes().splitlines()


def in_store(scope: Scope, run: str) -> list[bytes]:
    return [encode(event) for event in scope.events.since(run, limit=10_000)]


def finished(home: Path, run: str) -> None:
    """A run of the local user that no store has seen."""
    log = begun(run, home / "runs" / run)
    call(log)
    end(log)


def test_a_run_whose_process_was_killed_is_completed_and_can_be_resumed(url: str, fleet_home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, url, str(fleet_home)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    mine = open_store(url).scoped(ADA)
    before = mine.events.last_seq("r1")
    assert 42 <= before <= 80
    caught = catch_up(mine, fleet_home)
    assert caught.runs == ({"r1": 80 - before})
    assert in_store(mine, "r1") == on_disk(fleet_home, "r1")
    run = mine.runs.get("r1")
    assert (run.status, run.session_id, run.lease_owner) == ("cut", "s1", None)
    assert mine.spans.list("r1").total == 40
    assert catch_up(mine, fleet_home).runs == {}
    mine.store.close()


def test_a_run_that_ended_while_the_database_was_away_is_read_in(
    postgres: Postgres, database: Database, fleet_home: Path
) -> None:
    mine = open_store(database.app).scoped(ADA)
    session = mine.sessions.create("s")
    log = begun("r1", fleet_home / "runs" / "r1")
    writer = EventWriter(mine, log, session_id=session.id)
    writer.flush()
    postgres.shut(database)
    call(log)
    end(log)
    with pytest.raises(StoreUnavailable):
        writer.close()
    with pytest.raises(StoreUnavailable):
        catch_up(mine, fleet_home)
    postgres.reopen(database)
    catch_up(mine, fleet_home)
    assert in_store(mine, "r1") == on_disk(fleet_home, "r1")
    assert (mine.runs.get("r1").status, mine.runs.get("r1").session_id) == ("ok", session.id)
    mine.store.close()


def test_a_new_database_gets_all_runs_back(fleet_home: Path) -> None:
    for number in range(3):
        finished(fleet_home, f"r{number}")
    local = open_store().scoped()
    assert catch_up(local, fleet_home).runs == {"r0": 4, "r1": 4, "r2": 4}
    local.store.close()
    assert local.store.place.file is not None
    local.store.place.file.rename(fleet_home / "aside.db")
    assert catch_up(local, fleet_home).runs == {"r0": 4, "r1": 4, "r2": 4}
    assert local.runs.list(status="ok").total == 3


def test_a_run_that_goes_on_is_left_to_its_writer(fleet_home: Path) -> None:
    log = begun("r1", fleet_home / "runs" / "r1")
    local = open_store().scoped()
    caught = catch_up(local, fleet_home)
    assert caught.runs == {}
    assert "still going on" in caught.left["r1"]
    log.close()
    assert catch_up(local, fleet_home).runs == {"r1": 1}


def test_a_run_that_was_resumed_elsewhere_is_read_in_further(fleet_home: Path) -> None:
    finished(fleet_home, "r1")
    local = open_store().scoped()
    catch_up(local, fleet_home)
    log = RunLog.reopen(fleet_home / "runs" / "r1")
    notes(log, 3)
    log.close()
    assert catch_up(local, fleet_home).runs == {"r1": 3}
    assert local.runs.get("r1").status == "ok"


def test_runs_of_others_are_left_to_them(fleet_home: Path) -> None:
    finished(fleet_home, "mine")
    store = open_store()
    log = begun("theirs", fleet_home / "runs" / "theirs")
    EventWriter(store.scoped(ADA), log).close()
    end(log)
    (fleet_home / "runs" / "nobodys").mkdir()
    (fleet_home / "runs" / "nobodys" / "events.jsonl").write_bytes(b"")
    (fleet_home / "runs" / "nobodys" / "owner.json").write_text("{")
    caught = catch_up(store.scoped(), fleet_home)
    assert list(caught.runs) == ["mine"]
    assert "whose run it is cannot be read" in caught.left["nobodys"]
    assert list(catch_up(store.scoped(ADA), fleet_home).runs) == ["theirs"]


def test_a_log_that_is_cut_or_broken_does_not_hinder_the_others(fleet_home: Path) -> None:
    for run in ("broken", "cut", "empty", "whole"):
        finished(fleet_home, run)
    (fleet_home / "runs" / "broken" / "events.jsonl").write_bytes(b"no event\n{}\n")
    (fleet_home / "runs" / "empty" / "events.jsonl").write_bytes(b"")
    cut = fleet_home / "runs" / "cut" / "events.jsonl"
    cut.write_bytes(cut.read_bytes()[:-20])
    local = open_store().scoped()
    caught = catch_up(local, fleet_home)
    assert caught.runs == {"cut": 3, "whole": 4}
    assert "line 1 is not a fleet-rlm event" in caught.left["broken"]
    assert set(caught.left) == {"broken", "empty"}
    assert local.runs.get("cut").status == "cut"


def test_a_home_without_runs_is_nothing_to_do(tmp_path: Path) -> None:
    assert catch_up(open_store().scoped(), tmp_path / "none").runs == {}


def test_a_run_whose_session_is_gone_is_kept_without_it(fleet_home: Path) -> None:
    store = open_store()
    session = store.scoped().sessions.create("s")
    log = begun("r1", fleet_home / "runs" / "r1")
    EventWriter(store.scoped(), log, session_id=session.id).close()
    store.scoped().sessions.delete("s")
    end(log)
    catch_up(store.scoped(), fleet_home)
    assert (store.scoped().runs.get("r1").session_id, store.scoped().runs.get("r1").status) == (None, "ok")
