"""Export and import: one file with everything but secrets, and nothing taken in that was not exported by us."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.sessions import archive
from fleet_rlm.sessions.errors import ArchiveError, SessionExists
from fleet_rlm.sessions.shelf import Shelf
from tests.sessions.talking import DONE, running, saying
from tests.twins.running import model


@pytest.fixture
def exported(fleet_home: Path, tmp_path: Path) -> Path:
    """A session with something of everything, in a file."""
    (tmp_path / "report.md").write_text("# Report\n")
    write = "import os; os.makedirs('artifacts', exist_ok=True); open('artifacts/x.csv', 'w').write('a,b')"
    with (
        model(react_step=running(write), react_extract=saying("written")) as (_, lm),
        fleet.Session("incident") as session,
    ):
        session.memory.edit("human", "is called Ada")
        session.buffers.write("evidence", ["line 7"])
        session.load(tmp_path / "report.md")
        session.volume.write("memory/note.md", "a note")
        session.ask("Write it", lm=lm, context={"logs": "abc"})
        return session.export(tmp_path / "out.zip")


def everything(session: fleet.Session) -> dict[str, Any]:
    return {
        "turns": [(turn.question, turn.answer, turn.run) for turn in session.turns],
        "memory": dict(session.memory.sections),
        "buffers": session.buffers.state(),
        "documents": {document.alias: document.text for document in session.documents},
        "files": {
            entry.path: session.volume.read(entry.path) for entry in session.volume.tree() if not entry.is_folder
        },
        "artifacts": session.artifacts,
    }


def test_an_imported_session_is_the_exported_one_in_another_home(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet.Session("incident") as session:
        before, identity = everything(session), session.id
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "elsewhere"))
    with fleet.Session.import_(exported) as session:
        assert everything(session) == before
        assert session.id != identity
        assert session.values == {}
        (run_id,) = (turn.run for turn in session.turns)
        run = fleet.Run.from_jsonl(tmp_path / "elsewhere" / "runs" / str(run_id) / "events.jsonl")
        assert run.answer == "written"
        assert run.tree.start is not None
        assert run.tree.start.session == session.id
    with fleet.Session("incident") as session:  # signed by the key of its new home
        assert everything(session) == before


def test_the_file_holds_no_key_no_value_and_no_place_of_this_machine(
    exported: Path, fleet_home: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(exported) as file:
        names = file.namelist()
        whole = b"".join(file.read(name) for name in names)
        head = json.loads(file.read("session.json"))
    key = (fleet_home / "keys" / "sessions.key").read_bytes()
    assert key not in whole
    assert head["state"]["values"] == {"logs": {"type": "str", "why": "is not part of an export"}}
    assert {name.partition("/")[0] for name in names} == {"session.json", "blobs", "documents", "volume", "runs"}


def test_importing_into_a_used_kernel_leaks_nothing_of_the_session_before(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("CANARY-document")
    steps = [
        *running("leak = 'CANARY-variable'"),
        *running("print([n for n in globals() if 'CANARY' in repr(globals()[n])], 'leak' in globals())"),
    ]
    with model(react_step=steps, react_extract=saying()) as (server, lm):
        with fleet.Session("used") as used:
            used.memory.edit("human", "CANARY-memory")
            used.buffers.write("b", ["CANARY-buffer"])
            used.load(tmp_path / "secret.md", "secret")
            used.volume.write("memory/x", "CANARY-file")
            used.ask("CANARY-question", lm=lm, context={"given": "CANARY-value"})
            with fleet.Session.import_(exported, "copy") as session:
                run = session.ask("Look around", lm=lm)
                told = [request.text for request in server.requests[3:]]
                assert len(told) == 3
                assert not any("CANARY" in text.replace("'CANARY' in repr", "") for text in told)
                assert "[] False" in told[1]
                assert all("CANARY" not in str(part) for part in everything(session).values())
                assert set(session.values) == set()
                assert run.status == "ok"
            assert "CANARY-memory" in used.memory.sections["human"]


def test_a_session_is_imported_beside_itself_only_under_another_name(exported: Path) -> None:
    with pytest.raises(SessionExists, match=r"that very session.*name=NAME"):
        fleet.Session.import_(exported)
    with fleet.Session.import_(exported, "copy") as copy:
        assert copy._state.origin is not None
        assert copy._state.origin["name"] == "incident"
    assert {entry.name for entry in Shelf().entries()} == {"incident", "copy"}


def test_an_export_takes_the_place_of_an_export_and_of_nothing_else(exported: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with fleet.Session.import_(exported, "again") as session:
        with pytest.raises(ArchiveError, match="exists and is no export of a session; choose another name"):
            session.export(notes)
        assert session.export(exported) == exported
    assert notes.read_text() == "mine"


def test_an_export_into_what_is_exported_is_refused(exported: Path) -> None:
    with fleet.Session("incident") as session:
        inside = session.volume.directory / "memory" / "out.zip"
        with pytest.raises(ArchiveError, match="own volume"):
            session.export(inside)
        assert not inside.exists()
        with pytest.raises(ArchiveError, match="cannot be exported"):
            session.export(exported.parent / "no" / "such" / "place.zip")


def rebuilt(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """The export with its parts changed."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return path


def headed(**changes: Any) -> Callable[[dict[str, bytes]], object]:
    """A change of the head's state."""

    def change(parts: dict[str, bytes]) -> None:
        head = json.loads(parts["session.json"])
        head["state"] |= changes
        parts["session.json"] = json.dumps(head).encode()

    return change


def refused(path: Path, match: str) -> None:
    """The import fails so, and leaves nothing behind."""
    home = Shelf().home
    before = {str(one) for one in home.rglob("*")}
    with pytest.raises(ArchiveError, match=match):
        fleet.Session.import_(path, "evil")
    assert {str(one) for one in home.rglob("*")} == before


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "/etc/evil", "volume/memory/../../meta/x", "volume/meta/x", "volume//memory/x", "runs/a/../b/c"),
        *("documents/../x", "blobs/a/b", "other/x", "volume/memory/..", "C:\\x", "documents\\x", "volume/memory/"),
        *("runs/r/artifacts/x", "keys/sessions.key"),
    ],
)
def test_names_that_lead_out_of_their_place_are_refused(exported: Path, name: str) -> None:
    refused(
        rebuilt(exported, lambda parts: parts.update({name: b"x"})), "leads out|no part of an export|link or no file"
    )


def test_links_are_refused(exported: Path) -> None:
    link = zipfile.ZipInfo("volume/memory/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(exported, "a") as file:
        file.writestr(link, "/etc/passwd")
    refused(exported, "link")


def test_a_name_twice_is_refused(exported: Path) -> None:
    with zipfile.ZipFile(exported, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("session.json", b"{}")
    refused(exported, "twice")


def test_a_zip_bomb_is_refused_by_what_it_says(exported: Path) -> None:
    refused(rebuilt(exported, lambda parts: parts.update({"volume/memory/bomb": bytes(50 << 20)})), "zip bomb")


def test_a_zip_bomb_that_lies_about_its_size_is_not_unpacked(exported: Path) -> None:
    rebuilt(exported, lambda parts: parts.update({"volume/memory/bomb": bytes(8 << 20)}))
    data = bytearray(exported.read_bytes())
    real, said = (8 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    exported.write_bytes(data.replace(real, said))
    refused(exported, "damaged: Bad CRC")


def test_too_much_altogether_is_refused(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LIMIT_BYTES", 100)
    refused(exported, "more than the 100")


@pytest.mark.parametrize(
    "change",
    [
        headed(turns={"segments": [{"sha256": "0" * 64, "count": 1}], "tail": []}),
        headed(turns=7),
        headed(memory={}),
        headed(documents={"active": None, "documents": [{"alias": "x"}]}),
        lambda parts: parts.pop("session.json"),
        lambda parts: parts.update({"session.json": b"{"}),
        lambda parts: parts.update({"session.json": b"[]"}),
        lambda parts: parts.update({f"blobs/{'0' * 64}": b"x"}),
        lambda parts: parts.update({f"documents/{'0' * 64}": b"x"}),
    ],
)
def test_a_damaged_file_is_refused_whole(exported: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    refused(rebuilt(exported, change), "damaged|no export")


def test_a_document_that_lies_elsewhere_is_refused(exported: Path) -> None:
    with zipfile.ZipFile(exported) as file:
        documents = json.loads(file.read("session.json"))["state"]["documents"]
    documents["documents"][0]["sha256"] = "../../../../../../etc/hostname"
    refused(rebuilt(exported, headed(documents=documents)), "no hash")


def test_a_log_that_is_none_of_its_run_is_refused(exported: Path) -> None:
    def change(parts: dict[str, bytes]) -> None:
        name = next(name for name in parts if name.startswith("runs/"))
        parts[name] = parts[name].replace(b'"run":"2', b'"run":"9')

    with fleet.Session("incident") as session:
        run = session.turns[0].run
    assert run is not None
    for path in sorted((Shelf().home / "runs" / run).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (Shelf().home / "runs" / run).rmdir()
    refused(rebuilt(exported, change), "is that of run")


def test_a_session_that_says_it_came_from_itself_is_circular(exported: Path) -> None:
    with zipfile.ZipFile(exported) as file:
        identity = json.loads(file.read("session.json"))["state"]["id"]
    origin = {"id": "other", "name": "x", "exported_at": "", "origin": {"id": identity, "origin": None}}
    refused(rebuilt(exported, headed(origin=origin)), "circular")


def test_a_file_of_a_later_version_is_refused_with_the_way_out(exported: Path) -> None:
    def change(parts: dict[str, bytes]) -> None:
        parts["session.json"] = parts["session.json"].replace(b"fleet.session/3", b"fleet.session/9")

    refused(rebuilt(exported, change), "upgrade")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a zip" * 100], ids=["empty", "cut", "text"])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    refused(tmp_path / "x.zip", "no export")
    refused(tmp_path / "missing.zip", "cannot be imported")


def test_a_truncated_file_is_refused(exported: Path) -> None:
    os.truncate(exported, exported.stat().st_size // 2)
    refused(exported, "no export")


def test_a_turn_asked_after_an_import_goes_on(exported: Path) -> None:
    with (
        model(react_step=[DONE], react_extract=saying()) as (server, lm),
        fleet.Session.import_(exported, "copy") as session,
    ):
        session.ask("And now?", lm=lm)
        assert "written" in server.requests[0].text
        assert "is called Ada" in server.requests[0].text


def test_what_is_exported_and_imported_is_on_the_disk_before_anything_names_it(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[tuple[int, int]] = []
    really = os.fsync

    def heard(fd: int) -> None:
        really(fd)
        told = os.fstat(fd)
        settled.append((told.st_ino, 0 if stat.S_ISDIR(told.st_mode) else told.st_size))

    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(os, "fsync", heard)
    with fleet.Session.import_(exported) as session:
        document, (turn,) = session.documents.get(), session.turns
        log = tmp_path / "elsewhere" / "runs" / str(turn.run) / "events.jsonl"
        manifest = sorted(document.path.parents[1].glob("manifest-*.json"))[0]
        before = settled[: settled.index((manifest.stat().st_ino, manifest.stat().st_size))]
        for file in (document.path, log):
            assert (file.stat().st_ino, file.stat().st_size) in before
            assert (file.parent.stat().st_ino, 0) in before
        copy = session.export(tmp_path / "copy.zip")
        assert (copy.stat().st_ino, copy.stat().st_size) in settled
        assert settled[-1] == (copy.parent.stat().st_ino, 0)


def test_an_import_that_fails_leaves_no_log_behind_that_a_later_one_would_take_for_whole(
    fleet_home: Path, tmp_path: Path
) -> None:
    with model(react_step=[DONE] * 2, react_extract=saying()) as (_, lm), fleet.Session("incident") as session:
        runs = [session.ask(question, lm=lm).id for question in ("First?", "Second?")]
        file = session.export(tmp_path / "out.zip")
    for run in runs:
        shutil.rmtree(fleet_home / "runs" / run)
    damaged = rebuilt(file, lambda parts: parts.update({f"runs/{runs[1]}/events.jsonl": b"{}\n"}))
    with pytest.raises(ArchiveError, match="is damaged"):
        fleet.Session.import_(damaged, "copy")
    assert os.listdir(fleet_home / "runs") == []


def test_a_document_of_one_line_over_and_over_is_no_bomb_where_it_was_exported_here(tmp_path: Path) -> None:
    (tmp_path / "calm.log").write_text("nothing happened\n" * 1_000_000)
    with fleet.Session("incident") as session:
        session.load(tmp_path / "calm.log", "logs")
        session.volume.write("memory/same.log", tmp_path / "calm.log")
        file = session.export(tmp_path / "out.zip")
    with fleet.Session.import_(file, "copy") as session:
        assert session.documents.get("logs").chars == 17_000_000
        assert session.volume.tree("memory")[0].bytes == 17_000_000


def test_what_could_not_be_imported_again_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fleet.Session("incident") as session:
        session.volume.write("memory/note.md", "x" * 3_000)
        monkeypatch.setattr(archive, "LIMIT_BYTES", 3_000)
        with pytest.raises(ArchiveError, match=r"more than the 3,000 an export may have; remove documents or files"):
            session.export(tmp_path / "out.zip")
    assert list(tmp_path.glob("*out.zip*")) == []


def test_a_clock_that_stood_at_1970_is_no_hindrance(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fleet.Session("incident") as session:
        os.utime(session.documents.get().path, (0, 0))
        monkeypatch.setattr(time, "time", lambda: 0.0)
        session.export(exported)
    with fleet.Session.import_(exported, "copy") as session:
        assert session.turns[0].answer == "written"
