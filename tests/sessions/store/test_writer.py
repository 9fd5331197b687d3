"""A run's log is in the store while the run goes on, whatever happens to the store meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_rlm.core.events import Event, Note, encode
from fleet_rlm.core.log import RunLog
from fleet_rlm.sessions.store import (
    LOCAL,
    EventWriter,
    LeaseLost,
    NotFound,
    Scope,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
    open_store,
    writer,
)
from tests.sessions.store.logs import begun, call, end, notes
from tests.sessions.store.watched import PATIENCE_S, watched
from tests.twins.postgres import Database, Postgres


def assert_stored(scope: Scope, log: RunLog) -> None:
    """The store has the whole log, each event once and as it is."""
    kept = scope.events.since(log.run, limit=10_000)
    assert [encode(event) for event in kept] == [encode(event) for event in log.events_since(0)]


def heard(log: RunLog, says: str) -> Callable[[], None]:
    """A call that returns once a note of the log has said so."""
    said = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, Note) and says in event.text:
            said.set()

    log.subscribe(listen, since=0)

    def wait() -> None:
        assert said.wait(PATIENCE_S), f"no note said {says!r}"

    return wait


def test_all_of_a_run_is_stored_by_the_time_the_writer_is_closed(mine: Scope, tmp_path: Path) -> None:
    session = mine.sessions.create("s")
    log = begun(directory=tmp_path / "r1")
    recorder = EventWriter(mine, log, session_id=session.id)
    for number in range(30):
        call(log, f"query {number}")
    end(log)
    recorder.close()
    recorder.close()  # twice is harmless
    assert_stored(mine, log)
    run = mine.runs.get("r1")
    assert (run.session_id, run.status, run.llm_calls, run.lease_owner) == (session.id, "ok", 30, None)
    assert recorder.stored == run.last_seq == len(log) - 1


def test_a_log_that_has_begun_is_written_from_its_beginning(mine: Scope) -> None:
    log = begun()
    notes(log, 10)
    recorder = EventWriter(mine, log)
    recorder.flush()
    assert_stored(mine, log)
    recorder.close()


def test_events_are_stored_soon_without_being_asked_for(mine: Scope) -> None:
    scope, events = watched(mine)
    log = begun()
    recorder = EventWriter(scope, log)
    events.wait_for(0)
    notes(log, 1)
    events.wait_for(1)
    assert mine.runs.get("r1").status == "running"
    recorder.close()


def test_the_beginning_a_failure_and_the_end_do_not_wait_for_the_timer(
    mine: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "DELAY_S", 3600)
    scope, events = watched(mine)
    log = begun()
    recorder = EventWriter(scope, log)
    events.wait_for(0)
    with log.span("tool", "t") as span:
        span.fail("ToolError", "no")
    events.wait_for(2)
    notes(log, writer.BATCH)
    events.wait_for(writer.BATCH + 2)
    end(log)
    events.wait_for(writer.BATCH + 3)
    recorder.close()
    assert_stored(mine, log)


def test_many_events_take_few_transactions(mine: Scope) -> None:
    scope, events = watched(mine)
    log = begun()
    recorder = EventWriter(scope, log)
    notes(log, 2_000)
    recorder.close()
    assert sum(events.batches) == 2_001
    assert len(events.batches) <= 20


def test_the_end_of_a_run_ends_its_writer(mine: Scope) -> None:
    scope, events = watched(mine)
    log = begun()
    recorder = EventWriter(scope, log)
    end(log)
    events.wait_for(1)
    recorder.flush()
    assert mine.runs.get("r1").lease_owner is None
    assert log._subscribers == []


def test_a_database_that_goes_away_in_mid_run_costs_nothing(
    postgres: Postgres, database: Database, tmp_path: Path
) -> None:
    mine = open_store(database.app).scoped(LOCAL)
    log = begun(directory=tmp_path / "r1")
    recorder = EventWriter(mine, log)
    recorder.flush()
    told, back = heard(log, "until they can be stored"), heard(log, "the store is back")
    postgres.shut(database)
    for _ in range(50):
        call(log)
    told()
    with pytest.raises(StoreUnavailable):
        recorder.flush()
    notes(log, 500)
    postgres.reopen(database)
    back()  # by its own retry
    end(log)
    recorder.close()
    assert_stored(mine, log)
    assert mine.runs.get("r1").llm_calls == 50
    assert mine.spans.list("r1").total == 50
    warnings = [event for event in log.events_since(0) if isinstance(event, Note) and event.level == "warning"]
    assert len(warnings) == 1
    assert str(tmp_path / "r1") in warnings[0].text
    mine.store.close()


def test_a_store_that_was_never_there_leaves_the_run_to_its_log(tmp_path: Path) -> None:
    obstacle = tmp_path / "home"
    obstacle.write_text("in the way")
    mine = open_store(f"sqlite:///{obstacle}/fleet.db").scoped(LOCAL)
    log = begun(directory=tmp_path / "r1")
    told, back = heard(log, "until they can be stored"), heard(log, "the store is back")
    recorder = EventWriter(mine, log)
    call(log)
    told()
    obstacle.unlink()
    back()
    end(log)
    recorder.close()
    assert_stored(mine, log)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from fleet_rlm.sessions.store import EventWriter, StoreUnavailable, open_store
from tests.sessions.store.logs import begun, end, notes
from tests.sessions.store.test_writer import assert_stored, heard

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store()
store.open()
full = store.place.file.stat().st_size + 20_000
resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
log = begun(directory=Path(sys.argv[1]))
told, back = heard(log, "until they can be stored"), heard(log, "the store is back")
recorder = EventWriter(store.scoped(), log)
try:
    for _ in range(200):  # each transaction writes whole pages, so the database meets the end long before the log
        notes(log, 1)
        recorder.flush()
except StoreUnavailable as error:
    print(error)
else:
    raise AssertionError("the disk was not full")
told()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
back()
end(log)
recorder.close()
assert_stored(store.scoped(), log)
"""


def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "r1")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be used now" in done.stdout


READ_ONLY = """
import os, sys
from pathlib import Path
from fleet_rlm.sessions.store import EventWriter, StoreUnavailable, open_store
from tests.sessions.store.logs import begun, end
from tests.sessions.store.test_writer import heard

home = Path(sys.argv[1])
store = open_store(f"sqlite:///{home}/fleet.db")
store.scoped().sessions.create("one")  # everything is imported, and the file is there
store.close()
for path, mode in ((home / "fleet.db", 0o444), (home, 0o555)):
    path.chmod(mode)
if os.geteuid() == 0:
    os.seteuid(65534)  # modes mean nothing to root
log = begun()
told = heard(log, "kept in memory only until they can be stored")
recorder = EventWriter(store.scoped(), log)
told()
end(log)
try:
    recorder.close()
except StoreUnavailable as error:
    print(error)
"""


def test_a_home_that_is_read_only_does_not_stop_the_run() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        command = [sys.executable, "-c", READ_ONLY, folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        os.chmod(folder, 0o755)
    assert done.returncode == 0, done.stderr
    assert "fleet.db cannot be used now" in done.stdout


def test_a_damaged_store_is_told_once_and_does_not_stop_the_run(tmp_path: Path) -> None:
    (tmp_path / "fleet.db").write_bytes(b"no database at all" * 100)
    log = begun(directory=tmp_path / "r1")
    told = heard(log, "is damaged")
    recorder = EventWriter(open_store(f"sqlite:///{tmp_path}/fleet.db").scoped(LOCAL), log)
    told()
    end(log)
    with pytest.raises(StoreDamaged):
        recorder.close()
    assert [type(event).__name__ for event in RunLog.read(iter(open(tmp_path / "r1/events.jsonl", "rb")))._events] == [
        "RunStart",
        "Note",
        "RunEnd",
    ]


def test_a_run_of_a_session_that_is_gone_is_told(mine: Scope) -> None:
    log = begun()
    told = heard(log, "there is no session 'gone'")
    recorder = EventWriter(mine, log, session_id="gone")
    told()
    with pytest.raises(NotFound):
        recorder.close()


def test_of_two_writers_the_one_that_came_later_waits_or_takes_over(mine: Scope, tmp_path: Path) -> None:
    log = begun()
    first = EventWriter(mine, log)
    first.flush()
    second = EventWriter(mine, log)
    notes(log, 1)
    with pytest.raises(LeaseLost, match="is being written by"):
        second.flush()
    heir = mine.runs.lease("r1", "heir", takeover=True)
    notes(log, 1)
    with pytest.raises(LeaseLost, match="taken over"):
        first.flush()
    mine.events.append(heir, log.events_since(mine.events.last_seq("r1") + 1))
    notes(log, 1)
    with pytest.raises(LeaseLost):
        first.close()
    assert mine.events.last_seq("r1") == len(log) - 2


def test_an_idle_writer_keeps_its_lease(mine: Scope) -> None:
    renewed = threading.Event()

    class Watched(type(mine.runs)):  # type: ignore[misc]
        async def arenew(self, lease: object, seconds: float) -> None:
            await super().arenew(lease, seconds)
            renewed.set()

    mine.runs = Watched(mine)
    recorder = EventWriter(mine, begun(), lease_s=0.3)
    assert renewed.wait(PATIENCE_S)
    recorder.close()


def test_a_log_that_does_not_begin_at_its_beginning_is_refused(mine: Scope) -> None:
    log = RunLog("r1")
    notes(log, 1)
    recorder = EventWriter(mine, log)
    with pytest.raises(StoreError, match=r"does not begin with run\.start"):
        recorder.flush()


def test_a_writer_that_is_never_told_anything_closes(mine: Scope) -> None:
    EventWriter(mine, RunLog("r1")).close()
    assert mine.runs.list().total == 0
