"""Sessions over REST: listed, described, put away and brought back, counted, exported."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from fleet_rlm.sessions.session import Session
from tests.server.services.conftest import Model
from tests.server.serving import Serving

ADA = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "ada"}
READER = {"X-Fleet-Debug-Roles": "Fleet.Read"}


@pytest.fixture(scope="module")
def run(server: Serving) -> str:
    """A run of the session "desk" that is over."""
    run: str = server.post("runs", message="What is on it?", session="desk")["run"]
    assert server.finished(run)["status"] == "ok"
    return run


def test_a_session_is_found_by_name_and_id_and_listed_in_the_envelope(server: Serving, run: str) -> None:
    told = server.get("sessions/desk")
    assert (told["name"], told["status"], told["turn_count"], told["is_open"]) == ("desk", "active", 1, True)
    assert server.get(f"sessions/{told['id']}") == told
    page = server.get("sessions", search="DES", limit=1)
    assert set(page) == {"items", "total", "offset", "limit", "has_more"}
    assert [one["id"] for one in page["items"]] == [told["id"]]
    assert server.get("sessions", search="DES", created_before=told["created_at"])["total"] == 0
    assert server.get("sessions", search="DES", created_after=told["created_at"])["total"] == 1


def test_title_and_metadata_are_changed_and_kept(server: Serving, run: str) -> None:
    def patch(**body: object) -> object:
        return server.client.patch(f"{server.base}sessions/desk", json=body)

    told = patch(title="My desk", metadata={"colour": "red", "legs": 4}).json()
    assert (told["title"], told["metadata"]) == ("My desk", {"colour": "red", "legs": 4})
    assert patch(metadata={"legs": None}).json()["metadata"] == {"colour": "red"}
    assert server.get("sessions", search="my desk")["total"] == 1
    assert [patch(**body).status_code for body in ({}, {"name": "x"}, {"metadata": {"x": "y" * 20_000}})] == [422] * 3


def test_turns_and_what_they_used(server: Serving, run: str) -> None:
    turns = server.get("sessions/desk/turns")["items"]
    assert [(turn["index"], turn["run"], turn["message"], turn["answer"]) for turn in turns] == [
        (0, run, "What is on it?", "forty-two")
    ]
    stats = server.get("sessions/desk/stats")
    used = server.get(f"runs/{run}")["usage"]
    assert (stats["runs"], stats["by_status"], stats["llm_calls"]) == (1, {"ok": 1}, used["llm_calls"])
    assert stats["tokens_in"] == used["tokens_in"] == stats["by_model"][0]["tokens_in"] > 0
    assert stats["duration_s"] > 0


def test_what_is_open_is_told_with_what_it_holds(server: Serving, run: str) -> None:
    mine = {one["name"]: one for one in server.get("sessions/state")["sessions"]}["desk"]
    assert (mine["turns"], mine["documents"], mine["own_kernel"], mine["is_answering"]) == (1, 0, True, False)
    assert mine["kernel_id"] in {one["id"] for one in server.kernels()}


def test_an_export_is_a_session_for_whoever_imports_it(server: Serving, run: str, tmp_path: Path) -> None:
    answer = server.client.get(f"{server.base}sessions/desk/export")
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="desk.zip"')
    assert f"runs/{run}/events.jsonl" in zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    file = tmp_path / "desk.zip"
    file.write_bytes(answer.content)
    with Session.import_(file, home=tmp_path / "home", record=False) as session:
        assert [(turn.question, turn.answer) for turn in session.turns] == [("What is on it?", "forty-two")]
    assert not list((server.home / "exports").iterdir()), "the copy on the server is gone"


def test_an_export_as_parquet_has_the_spans_of_the_runs(server: Serving, run: str) -> None:
    answer = server.client.get(f"{server.base}sessions/desk/export", params={"format": "parquet"})
    frame = pd.read_parquet(io.BytesIO(answer.content))
    spans = server.get(f"runs/{run}/spans")["items"]
    assert list(frame["span"]) == [span["id"] for span in spans]
    assert set(frame["run"]) == {run}
    assert server.client.get(f"{server.base}sessions/desk/export?format=xlsx").status_code == 422


def test_a_file_among_the_notebooks_is_not_taken_for_a_library(server: Serving, run: str) -> None:
    mine = server.directory / "root" / "pandas.py"
    mine.write_text("raise SystemExit(3)")
    try:
        server.client.get(f"{server.base}sessions/desk/export?format=parquet").raise_for_status()
    finally:
        mine.unlink()


def test_archiving_ends_the_kernel_and_restoring_loses_nothing(server: Serving, model: Model) -> None:
    gate = model.gate("still thinking")
    run = server.post("runs", message="still thinking", session="attic", mode="direct")["run"]
    with server.watch(f"run={run}") as talk:
        talk.until_event("span.start", type="llm")
        busy = server.client.delete(f"{server.base}sessions/attic")
        assert (busy.status_code, busy.json()["code"]) == (409, "session_busy")
        gate.open()
        talk.until("ended")
    kernel = server.kernel_id_of("attic")
    assert server.client.delete(f"{server.base}sessions/attic").json()["status"] == "archived"
    assert kernel not in {one["id"] for one in server.kernels()}
    assert server.get("sessions", search="attic")["total"] == 0
    assert server.get("sessions", search="attic", status="archived")["total"] == 1
    assert server.post("sessions/attic/restore", 200)["turn_count"] == 1
    assert server.post("sessions/attic/restore", 409)["code"] == "conflict"


def test_a_name_of_any_printable_characters_is_found(server: Serving) -> None:
    run = server.post("runs", message="Who?", session="à la carte?", mode="direct")["run"]
    server.finished(run)
    assert server.get("sessions/%C3%A0%20la%20carte%3F")["name"] == "à la carte?"
    answer = server.client.get(f"{server.base}sessions/%C3%A0%20la%20carte%3F/export")
    assert "filename*=UTF-8''%C3%A0%20la%20carte%3F.zip" in answer.headers["Content-Disposition"]


def test_a_damaged_manifest_is_told_without_telling_where_it_lies(server: Serving) -> None:
    run = server.post("runs", message="Who?", session="cracked", mode="direct")["run"]
    server.finished(run)
    identity = server.client.delete(f"{server.base}sessions/cracked").json()["id"]
    for manifest in server.home.glob(f"volumes/*/meta/sessions/{identity}/manifest-*.json"):
        manifest.write_text("{}")
    told = server.get("sessions/cracked/export", 409)
    assert "cannot be used" in told["message"]
    assert str(server.home) not in told["message"]


VERBS = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", "/restore"),
    ("GET", "/turns"),
    ("GET", "/stats"),
    ("GET", "/export"),
    ("GET", "/memory"),
    ("PATCH", "/memory"),
    ("GET", "/memory/items"),
]


@pytest.mark.parametrize(("method", "what"), VERBS)
def test_a_session_of_somebody_else_does_not_exist(server: Serving, run: str, method: str, what: str) -> None:
    body = {"section": "human", "content": "x"} if what == "/memory" else {"title": "x"}
    asked = [
        server.client.request(
            method, f"{server.base}sessions/{name}{what}", json=body if method == "PATCH" else None, headers=ADA
        )
        for name in ("desk", "never")
    ]
    assert [answer.status_code for answer in asked] == [404, 404]
    assert asked[0].json()["message"].replace("desk", "never") == asked[1].json()["message"]
    assert server.client.get(f"{server.base}sessions", headers=ADA).json()["total"] == 0
    assert server.client.get(f"{server.base}sessions/state", headers=ADA).json() == {"sessions": []}


def test_who_may_only_read_changes_nothing(server: Serving, run: str) -> None:
    def asked(method: str, what: str) -> int:
        return server.client.request(method, f"{server.base}sessions/desk{what}", headers=READER).status_code

    assert [asked("GET", what) for what in ("", "/turns", "/stats", "/memory")] == [200] * 4
    changes = [("PATCH", ""), ("DELETE", ""), ("POST", "/restore"), ("PATCH", "/memory")]
    assert [asked(*change) for change in changes] == [403] * 4
