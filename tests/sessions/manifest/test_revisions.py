"""Revisions: saved once, signed, the highest valid one wins, and no outcome overwrites a good one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.sessions.errors import (
    ManifestConflict,
    ManifestMissing,
    ManifestTampered,
    ManifestTooNew,
    ManifestUnreadable,
)
from fleet_rlm.sessions.manifest import Revisions, Signer
from fleet_rlm.sessions.manifest.envelope import canonical
from fleet_rlm.sessions.manifest.revisions import KEPT
from tests.sessions.manifest.places import SIGNER, STORAGES, MemoryStorage, blobs_of, revisions


@pytest.fixture(params=STORAGES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, tmp_path: Path) -> Path:
    """A place with three revisions."""
    kept = revisions(kind, tmp_path / "place")
    for number in (1, 2, 3):
        kept.save({"number": number})
    return tmp_path / "place"


def files(place: Path) -> dict[str, bytes]:
    return {name: (place / name).read_bytes() for name in os.listdir(place)}


def rewrite(path: Path, signer: Signer | None = None, **changes: Any) -> None:
    """Change a manifest as somebody would who can write there; with a signer, as somebody who has the key."""
    told = {**json.loads(path.read_bytes()), **changes}
    if signer is not None:
        body = {name: value for name, value in told.items() if name not in ("sha256", "hmac")}
        told["sha256"] = hashlib.sha256(canonical(body)).hexdigest()
        told["hmac"] = signer.sign(told["sha256"].encode())
    path.write_bytes(canonical(told))


def test_the_highest_revision_is_loaded_and_names_the_one_before(kind: str, place: Path) -> None:
    loaded = revisions(kind, place).load()
    assert (loaded.revision.rev, loaded.revision.state, loaded.faults) == (3, {"number": 3}, ())
    told = [json.loads(data) for _, data in sorted(files(place).items())]
    assert [one["prev_sha256"] for one in told] == [None, told[0]["sha256"], told[1]["sha256"]]


def test_saving_goes_on_from_what_was_loaded(kind: str, place: Path) -> None:
    kept = revisions(kind, place)
    kept.load()
    assert kept.save({"number": 4}).rev == 4
    assert revisions(kind, place).load().revision.state == {"number": 4}


def test_who_saves_second_is_told_who_was_first_and_overwrites_nothing(kind: str, place: Path) -> None:
    one, other = revisions(kind, place), revisions(kind, place)
    one.load()
    other.load()
    one.save({"number": "first"})
    before = files(place)
    with pytest.raises(ManifestConflict, match=f"revision 4 by process {os.getpid()} on ") as caught:
        other.save({"number": "second"})
    assert caught.value.revision == 4
    assert files(place) == before


def test_missing_is_an_outcome_of_its_own(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestMissing, match="backup"):
        revisions(kind, tmp_path / "nothing").load()


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b'{"schema": "other/1"}'], ids=repr)
def test_a_cut_revision_is_passed_over_for_the_one_before_and_stays(kind: str, place: Path, data: bytes) -> None:
    (place / "manifest-00000003.json").write_bytes(data)
    kept = revisions(kind, place)
    loaded = kept.load()
    assert (loaded.revision.rev, [type(fault) for fault in loaded.faults]) == (2, [ManifestUnreadable])
    assert kept.save({"number": "next"}).rev == 4
    assert (place / "manifest-00000003.json").read_bytes() == data
    assert revisions(kind, place).load().revision.state == {"number": "next"}


def test_a_disk_that_refuses_is_not_answered_with_an_older_state(kind: str, place: Path) -> None:
    (place / "manifest-00000003.json").unlink()
    (place / "manifest-00000003.json").mkdir()  # reading it fails as a bad disk does, root or not
    with pytest.raises(ManifestUnreadable, match="try again"):
        revisions(kind, place).load()


def test_no_whole_revision_at_all_is_unreadable_and_left_alone(kind: str, place: Path) -> None:
    for path in place.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    before = files(place)
    with pytest.raises(ManifestUnreadable, match="import an export"):
        revisions(kind, place).load()
    assert files(place) == before


def test_a_changed_state_is_tampered_with_whoever_fixes_the_hash(kind: str, place: Path) -> None:
    newest = place / "manifest-00000003.json"
    rewrite(newest, state={"number": "forged"})
    assert [type(fault) for fault in revisions(kind, place).load().faults] == [ManifestTampered]
    rewrite(newest, Signer(b"x" * 32), state={"number": "forged"})
    loaded = revisions(kind, place).load()
    assert (loaded.revision.state, [type(fault) for fault in loaded.faults]) == ({"number": 2}, [ManifestTampered])


def test_all_tampered_with_is_an_error_and_changes_nothing(kind: str, place: Path) -> None:
    for path in place.iterdir():
        rewrite(path, state={"number": "forged"})
    before = files(place)
    with pytest.raises(ManifestTampered):
        revisions(kind, place).load()
    assert files(place) == before


def test_another_key_is_told_as_such(kind: str, place: Path) -> None:
    with pytest.raises(ManifestTampered, match="another key"):
        revisions(kind, place, Signer(b"x" * 32)).load()


@pytest.mark.parametrize("change", [{"session": "s-2"}, {"rev": 2}], ids=["session", "revision"])
def test_a_manifest_of_elsewhere_is_not_taken_for_ours(kind: str, place: Path, change: dict[str, Any]) -> None:
    rewrite(place / "manifest-00000003.json", SIGNER, **change)
    (fault,) = revisions(kind, place).load().faults
    assert isinstance(fault, ManifestTampered)
    assert "is a copy of" in str(fault)


def test_a_newer_schema_is_refused_and_never_gone_around(kind: str, place: Path) -> None:
    rewrite(place / "manifest-00000003.json", SIGNER, schema="fleet.session/9")
    before = files(place)
    with pytest.raises(ManifestTooNew, match="upgrade"):
        revisions(kind, place).load()
    assert files(place) == before


def test_old_revisions_and_their_blobs_leave_and_some_stay(kind: str, tmp_path: Path) -> None:
    kept = revisions(kind, tmp_path)
    for number in range(3 * KEPT + 2):
        data = b"blob %d" % number
        digest = hashlib.sha256(data).hexdigest()
        kept.save({"number": number, "blobs": [digest]}, {digest: data})
    numbers = sorted(int(name[9:17]) for name in os.listdir(tmp_path) if name.startswith("manifest"))
    assert KEPT <= len(numbers) <= 2 * KEPT
    assert numbers[-1] == 3 * KEPT + 2
    for number in numbers:
        state = json.loads((tmp_path / f"manifest-{number:08d}.json").read_bytes())["state"]
        assert (tmp_path / f"blob-{state['blobs'][0]}").exists()
    assert sum(name.startswith("blob") for name in os.listdir(tmp_path)) == len(numbers)


def test_a_blob_is_checked_against_its_name(kind: str, tmp_path: Path) -> None:
    kept, digest = revisions(kind, tmp_path), hashlib.sha256(b"data").hexdigest()
    kept.save({"blobs": [digest]}, {digest: b"data"})
    assert kept.blob(digest) == b"data"
    (tmp_path / f"blob-{digest}").write_bytes(b"other")
    with pytest.raises(ManifestTampered, match="put it back from a backup"):
        kept.blob(digest)
    (tmp_path / f"blob-{digest}").unlink()
    with pytest.raises(ManifestUnreadable, match=r"is gone: .* put it back from a backup, or import an export"):
        kept.blob(digest)
    (tmp_path / f"blob-{digest}").mkdir()
    with pytest.raises(ManifestUnreadable, match=r"cannot be read now .* try again"):
        kept.blob(digest)


def test_a_state_that_is_no_json_is_refused_before_anything_is_written(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        revisions(kind, tmp_path).save({"number": float("nan")})
    assert os.listdir(tmp_path) == []


def test_revisions_need_no_directory() -> None:
    service = MemoryStorage()
    mine, other = (Revisions(service, SIGNER, "s-1", blobs_of) for _ in range(2))
    with pytest.raises(ManifestMissing, match="the service"):
        mine.load()
    digest = hashlib.sha256(b"data").hexdigest()
    for number in range(25):
        mine.save({"number": number, "blobs": [digest]}, {digest: b"data"})
    assert other.load().revision.state["number"] == 24
    assert (other.blob(digest), len(service.names())) == (b"data", 16)
    mine.save({"number": 25})
    with pytest.raises(ManifestConflict):
        other.save({"number": 26})
