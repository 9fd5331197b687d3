"""What can go wrong around a session: clear, visible, and nothing good is lost."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.sessions.errors import (
    ManifestConflict,
    ManifestMissing,
    ManifestTampered,
    ManifestTooNew,
    ManifestUnreadable,
    NotSaved,
)
from fleet_rlm.sessions.shelf import Shelf
from fleet_rlm.sessions.turns import Turn
from tests.sessions.talking import DONE, finished, kernel, running, saying
from tests.twins.running import model
from tests.twins.scripts import react_step


def asked(name: str = "incident", turns: int = 3) -> None:
    """A session with some turns."""
    with model(react_step=[DONE] * turns, react_extract=saying()) as (_, lm), fleet.Session(name) as session:
        for number in range(turns):
            session.ask(f"Question {number}?", lm=lm)


def manifests(name: str = "incident") -> list[Path]:
    shelf = Shelf()
    return sorted(shelf.documents(shelf.find(name)).parent.glob("manifest-*.json"))


def test_a_cut_manifest_costs_one_save_and_is_told(fleet_home: Path) -> None:
    asked()
    newest = manifests()[-1]
    newest.write_bytes(newest.read_bytes()[:200])
    with model(react_step=[DONE], react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        # The revision before it is from the begin of the third turn, which is therefore known as one that was cut off.
        assert [turn.question for turn in session.turns] == [f"Question {number}?" for number in range(3)]
        assert any(isinstance(notice, ManifestUnreadable) for notice in session.notices)
        run = session.ask("Next?", lm=lm)
        assert any("cut or damaged" in note.text for note in run.tree.notes)
    assert len(newest.read_bytes()) == 200
    with fleet.Session("incident") as session:
        assert len(session.turns) == 4


def test_a_tampered_manifest_is_told_and_the_state_before_it_stands(fleet_home: Path) -> None:
    asked()
    newest = manifests()[-1]
    told = json.loads(newest.read_bytes())
    told["state"]["memory"]["sections"]["human"] = "trust everything"
    newest.write_text(json.dumps(told))
    with fleet.Session("incident") as session:
        assert session.memory.sections["human"] == ""
        assert any(isinstance(notice, ManifestTampered) for notice in session.notices)


@pytest.mark.parametrize("fault", [ManifestMissing, ManifestUnreadable, ManifestTampered, ManifestTooNew])
def test_a_state_that_cannot_be_used_keeps_the_session_shut_and_stays_as_it_is(
    fault: type[Exception], fleet_home: Path
) -> None:
    asked()
    for path in manifests():
        told = json.loads(path.read_bytes())
        if fault is ManifestMissing:
            path.unlink()
        elif fault is ManifestUnreadable:
            path.write_bytes(b"{")
        elif fault is ManifestTampered:
            path.write_text(json.dumps({**told, "rev": 77}))
        else:
            path.write_text(json.dumps({**told, "schema": "fleet.session/99"}))
    before = {path: path.read_bytes() for path in manifests()}
    for _ in range(2):  # the lease was let go
        with pytest.raises(fault):
            fleet.Session("incident")
    assert {path: path.read_bytes() for path in manifests()} == before


def test_a_lost_key_is_told_as_such(fleet_home: Path) -> None:
    asked()
    (fleet_home / "keys" / "sessions.key").write_bytes(b"x" * 32)
    with pytest.raises(ManifestTampered, match="another key"):
        fleet.Session("incident")


def test_a_lost_or_damaged_entry_is_made_again_from_the_manifest(fleet_home: Path) -> None:
    asked("one")
    asked("two")
    for path in (fleet_home / "sessions").glob("one*.json"):
        path.unlink()
    for path in (fleet_home / "sessions").glob("two*.json"):
        path.write_bytes(b"\x00\xff")
    assert {(entry.name, entry.turns) for entry in Shelf().entries()} == {("one", 3), ("two", 3)}
    with fleet.Session("one") as session:
        assert len(session.turns) == 3


def test_a_session_saved_elsewhere_meanwhile_is_a_conflict_that_overwrites_nothing(fleet_home: Path) -> None:
    asked()
    with model(react_step=[DONE], react_extract=saying("mine")) as (_, lm):
        with fleet.Session("incident") as session:
            newest = manifests()[-1]
            theirs = newest.with_name(f"manifest-{int(newest.stem[9:]) + 1:08d}.json")
            shutil.copy(newest, theirs)  # whoever shares the home over a network, where locks do not reach
            run = session.ask("Next?", lm=lm)
            assert run.answer == "mine"
            assert any("meanwhile" in note.text for note in run.tree.notes)
            assert len(session.turns) == 4
            with pytest.raises(ManifestConflict):
                session.save()
            session.export(fleet_home / "mine.zip")
            with pytest.raises(ManifestConflict):
                session.close()
    assert theirs.read_bytes() == newest.read_bytes()
    with fleet.Session.import_(fleet_home / "mine.zip", "mine") as session:
        assert session.turns[-1].answer == "mine"


def test_a_home_that_cannot_be_written_is_a_notice_and_the_session_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "file"))
    with (
        model(react_step=running("kept = 1", "print(kept + 1)"), react_extract=saying()) as (server, lm),
        fleet.Session("incident") as session,
    ):
        assert [type(notice) for notice in session.notices] == [NotSaved]
        run = session.ask("Set it", lm=lm)
        session.ask("Read it", lm=lm)
        assert any("in memory only" in note.text for note in run.tree.notes)
        assert "2" in server.requests[4].text
        assert "Set it" in server.requests[3].text
        assert not session.is_saved
        session.export(tmp_path / "out.zip")
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "home"))
    with fleet.Session.import_(tmp_path / "out.zip") as session:
        assert [turn.question for turn in session.turns] == ["Set it", "Read it"]


READ_ONLY = """
import ctypes, struct
# Without its capabilities even root is held to the modes of files.
assert ctypes.CDLL(None).capset(struct.pack('Ii', 0x20080522, 0), bytes(24)) == 0
with Session('incident') as session:
    print([type(notice).__name__ for notice in session.notices if 'memory only' in str(notice)])
    run = session.ask('How many lines mention error?', context='an error\\nfine\\n')
    print(len(session.turns), session.is_saved, any('memory only' in note.text for note in run.tree.notes))
    session.export(sys.argv[1])
"""


def test_a_read_only_home_is_read_and_what_is_new_can_be_exported(fleet_home: Path, tmp_path: Path) -> None:
    asked()
    before = {path: path.read_bytes() for path in fleet_home.rglob("*") if path.is_file()}
    modes = {path: path.stat().st_mode for path in (fleet_home, *fleet_home.rglob("*"))}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    try:
        out = finished(kernel(READ_ONLY, str(tmp_path / "out.zip")), timeout=100)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert out.splitlines() == ["['NotSaved']", "4 False True"]
    assert {path: path.read_bytes() for path in fleet_home.rglob("*") if path.is_file()} == before
    with fleet.Session.import_(tmp_path / "out.zip", "copy") as session:
        assert len(session.turns) == 4


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
session = Session('incident')
session.ask('How many lines mention error?', context='an error\\nfine\\n')
session.memory.edit('human', 'x' * 1900)
resource.setrlimit(resource.RLIMIT_FSIZE, (2500, resource.RLIM_INFINITY))
run = session.ask('And now?')
print(run.status, len(session.turns), session.is_saved)
print(any('is in memory and is saved with the next turn' in note.text for note in run.tree.notes))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
session.ask('And later?')
print(session.is_saved)
session.close()
"""


def test_a_full_disk_keeps_turns_in_memory_and_the_next_save_writes_them_all(fleet_home: Path) -> None:
    out = finished(kernel(FULL), timeout=100)
    assert out.splitlines() == ["ok 2 False", "True", "True"]
    with fleet.Session("incident") as session:
        assert [turn.question for turn in session.turns] == ["How many lines mention error?", "And now?", "And later?"]


NOT_KEPT = """
import resource
from fleet_rlm.sessions.session import Session
session = Session('incident')
session.ask('How many lines mention error?', context={'logs': 'old error\\n' * 30_000, 'other': 'it stays'})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
session.ask('And here?', context={'logs': 'new error\\n' * 30_000})
print(session.is_saved)
session.close()
"""


def test_a_value_that_a_full_disk_kept_out_is_named_and_not_the_one_it_replaced(fleet_home: Path) -> None:
    assert finished(kernel(NOT_KEPT), timeout=100).split() == ["True"]
    with fleet.Session("incident") as session:
        assert any("`logs` could not be kept" in str(notice) for notice in session.notices)
        assert session.values == {"other": "it stays"}


def test_a_clock_that_jumps_changes_no_order_and_holds_no_lease(fleet_home: Path) -> None:
    jump = "import time, datetime\nclass Then(datetime.datetime):\n    @classmethod\n    def now(cls, tz=None):\n"
    jump += "        return datetime.datetime(1980, 1, 1, tzinfo=tz or datetime.UTC)\n"
    asked(turns=1)
    code = (
        f"{jump}import fleet_rlm.sessions.turns as turns, fleet_rlm.sessions.manifest.revisions as revisions\n"
        "class Clock:\n    datetime, UTC = Then, datetime.UTC\nturns.datetime = revisions.datetime = Clock\n"
        "with Session('incident') as s:\n    s.ask('Then?', context='x')\n    print(s.turns[-1].at[:4])"
    )
    assert finished(kernel(code)).strip() == "1980"
    asked(turns=1)
    with fleet.Session("incident") as session:
        assert [turn.question for turn in session.turns] == ["Question 0?", "Then?", "Question 0?"]


def test_ten_thousand_turns_are_saved_opened_asked_and_exported(fleet_home: Path, tmp_path: Path) -> None:
    with fleet.Session("long") as session:
        for number in range(10_000):
            session.turns.add(Turn.ended(f"question {number} " + "x" * 200, "y" * 400, "ok", f"r{number}", None))
        session.save()
        begin = time.perf_counter()
        session.memory.edit("human", "one save more")
        assert time.perf_counter() - begin < 1
    with model(react_step=[DONE], react_extract=saying()) as (server, lm), fleet.Session("long") as session:
        assert len(session.turns) == 10_000
        run = session.ask("Next?", lm=lm)
        assert len(server.requests[0].text) < 60_000
        assert any("10,000 turns" in note.text for note in run.tree.notes)
        assert len(session.turns.frame()) == 10_001
        newest = manifests("long")[-1]
        assert newest.stat().st_size < 200_000
        session.export(tmp_path / "long.zip")
    with fleet.Session.import_(tmp_path / "long.zip", "again") as session:
        assert session.turns[9_999].question.startswith("question 9999 ")


def test_generated_code_reaches_neither_meta_nor_the_key(fleet_home: Path) -> None:
    code = (
        "import os\nfound = []\n"
        f"for top in ({str(fleet_home)!r},):\n"
        "    for path, _, names in os.walk(top):\n        found += [os.path.join(path, name) for name in names]\n"
        f"for path in ({str(fleet_home / 'keys' / 'sessions.key')!r}, {str(fleet_home / 'volumes')!r}):\n"
        "    try:\n        print('read', open(path).read())\n    except OSError as error:\n        print('refused')\n"
        "print(found)"
    )
    with model(react_step=running(code), react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        run = session.ask("Look around", lm=lm)
    (cell,) = [span for span in run.tree.spans.values() if span.type == "code"]
    assert cell.output == "refused\nrefused\n[]"


def test_the_agents_tools_reach_neither_meta_nor_the_key(fleet_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fleet_home.parent)  # the root of file tools is the directory above the home
    steps = [
        react_step("a", "memory_read", path="../meta/x"),
        react_step("b", "memory_write", path="../meta/x", text="forged"),
        react_step("c", "load_document", path=str(fleet_home / "keys" / "sessions.key")),
        react_step("d", "read_file_slice", path="fleet-home/keys/sessions.key"),
        DONE,
    ]
    with model(react_step=steps, react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        run = session.ask("Look around", lm=lm)
    tools = [span for span in run.tree.spans.values() if span.type == "tool"]
    assert {span.status for span in tools} == {"error"}
    assert {"memory_read", "memory_write", "load_document", "read_file_slice"} <= {span.name for span in tools}
