"""Every schema there ever was is still read: its golden manifest gives the state it stood for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.sessions.manifest import LocalStorage, Revisions
from fleet_rlm.sessions.manifest.migrations import CURRENT, STEPS, migrated
from fleet_rlm.sessions.state import State, blobs_of
from tests.sessions.manifest.places import SIGNER

GOLDEN = Path("tests/golden/manifests")


def opened(version: int, place: Path) -> State:
    kept = Revisions(LocalStorage(place), SIGNER, f"golden-{version}", blobs_of)
    loaded = kept.load()
    assert loaded.faults == ()
    return State.unpacked(loaded.revision.state, kept.blob, Path("documents"))


def test_there_is_a_golden_manifest_and_a_step_for_every_schema() -> None:
    assert {int(path.name) for path in GOLDEN.iterdir()} == set(range(1, CURRENT + 1))
    assert set(STEPS) == set(range(1, CURRENT))


def test_schema_1_had_bare_memory_and_turns_without_runs() -> None:
    state = opened(1, GOLDEN / "1")
    first, second = state.turns
    assert (first.question, first.answer, first.status, first.run) == (
        "Which deploy broke checkout?",
        "deploy 41",
        "ok",
        None,
    )
    assert second.answer is None
    assert state.memory.sections["persona"] == "a careful analyst"
    assert state.memory.edits == ()
    assert state.buffers.read("evidence") == ["line 7", "line 9"]
    assert (state.documents.get("report").kind, state.artifacts, state.origin) == ("markdown", [], None)


def test_schema_2_says_who_edited_memory_and_keeps_old_turns_as_blobs() -> None:
    state = opened(2, GOLDEN / "2")
    assert [turn.question for turn in state.turns] == [f"question {i}" for i in range(103)]
    assert (state.turns[100].status, state.turns[98].error) == ("ok", "the run failed")
    assert [(edit.who, edit.run) for edit in state.memory.edits] == [("agent", "20261120-080000-aaaaaa")]
    assert state.buffers.read("evidence") == ["line 7", "line 9"]
    assert state.sandbox == {"backend": "local", "tier": "confined", "variables": ["found"]}


def test_schema_3_says_which_tool_calls_have_changed_the_session() -> None:
    state = opened(3, GOLDEN / "3")
    assert [turn.effects for turn in state.turns[102:]] == [[], ["0123456789abcdef0123"]]
    assert state.pending is not None
    assert state.pending["effects"] == ["fedcba9876543210fedc"]


@pytest.mark.parametrize("version", range(1, CURRENT + 1))
def test_a_migrated_state_is_saved_in_the_current_schema_and_the_old_one_stays(version: int, tmp_path: Path) -> None:
    place = shutil.copytree(GOLDEN / str(version), tmp_path / "place")
    old = (place / "manifest-00000001.json").read_bytes()
    state = opened(version, place)
    kept = Revisions(LocalStorage(place), SIGNER, f"golden-{version}", blobs_of)
    kept.load()
    revision = kept.save(*state.packed())
    assert (revision.schema, revision.rev) == (f"fleet.session/{CURRENT}", 2)
    assert (place / "manifest-00000001.json").read_bytes() == old
    again = opened(version, place)
    assert again.packed()[0] == state.packed()[0]
    assert set(os.listdir(place)) >= {"manifest-00000001.json", "manifest-00000002.json"}


def test_migrating_does_not_change_what_it_is_given() -> None:
    state: dict[str, Any] = {
        "created_at": "2026-11-20T08:00:00.000+00:00",
        "turns": [{"question": "q", "answer": "a"}],
        "memory": {"persona": "p"},
        "buffers": {},
    }
    before = {**state, "turns": [dict(turn) for turn in state["turns"]]}
    migrated(1, state)
    assert state == before
