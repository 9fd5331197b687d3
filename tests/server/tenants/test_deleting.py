"""A session deleted for good: by its owner or an administrator, and nothing of it is left, on Postgres and on disk."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from fleet_rlm.sessions.store.tables.base import PREFIX
from tests.server.services.conftest import Model
from tests.server.tenants.test_limits import audited, until
from tests.server.tenants.world import Person, World

SECRET = "okapi9917"
"""In all that is in the session, and in nothing else."""

GONE = ("sessions", "turns", "runs", "events", "spans", "artifacts", "memory", "feedback")


def filled(person: Person, name: str = "doomed") -> dict[str, str]:
    """A session with runs that keep values, an artifact, feedback, memory and a file; one is a branch."""
    asked = {"message": f"{SECRET} " * 4_000, "session": name, "mode": "direct"}
    started = person.api("POST", "runs", 201, json=asked)
    run, session = started["run"], started["session"]
    assert person.finished(run)["status"] == "ok"
    branch = person.api("POST", f"runs/{run}/branch", 201, json={"span": "s1"})["run"]
    person.finished(branch)
    person.api("PATCH", f"sessions/{session}/memory", json={"section": "scratchpad", "content": SECRET})
    person.api("PATCH", f"sessions/{session}", json={"title": SECRET})
    person.api("POST", f"runs/{run}/feedback", 201, json={"value": True, "comment": SECRET})
    upload = {"content": SECRET, "headers": {"Content-Type": "application/octet-stream"}}
    person.api("PUT", f"runtime/volume/file?volume={session}&path=memory/notes.md", 201, **upload)
    return {"session": session, "run": run, "branch": branch}


def delete(person: Person, session: str, **query: str) -> httpx.Response:
    return person.request("DELETE", f"/fleet/api/v1/sessions/{session}", params={"permanent": "true", **query})


def left(person: Person, ids: dict[str, str]) -> list[str]:
    """What lies on the disk for that person and is named after, or holds, anything of the session."""
    words = [SECRET.encode(), *(one.encode() for one in ids.values())]
    return [
        str(path.relative_to(person.home))
        for path in sorted(person.home.rglob("*"))
        if any(word in str(path).encode() or (path.is_file() and word in path.read_bytes()) for word in words)
    ]


@pytest.fixture
def ada(deployed: World) -> Person:
    return deployed.person(1)


def test_its_owner_leaves_nothing_of_it_and_everything_of_others(deployed: World, ada: Person) -> None:
    kept = ada.api("POST", "runs", 201, json={"message": "kept", "session": "kept", "mode": "direct"})
    ada.finished(kept["run"])
    ids = filled(ada)
    before = deployed.rows_of(ada, *ids.values())
    assert all(before[f"{PREFIX}{name}"] for name in ("sessions", "turns", "runs", "events", "spans", "feedback"))
    assert left(ada, ids)
    answer = delete(ada, ids["session"])
    assert answer.status_code == 200, answer.text
    assert (answer.json()["id"], answer.json()["is_open"]) == (ids["session"], False)
    assert left(ada, ids) == []
    after = deployed.rows_of(ada, *ids.values())
    named = [row for name in GONE for row in after[f"{PREFIX}{name}"] if any(one in row for one in ids.values())]
    assert named == []
    for path in (f"sessions/{ids['session']}", f"runs/{ids['run']}", f"runs/{ids['branch']}/events"):
        assert ada.request("GET", f"/fleet/api/v1/{path}").status_code == 404  # nor is it in memory
    assert [one["name"] for one in ada.api("GET", "sessions?status=any")["items"]] == ["kept"]
    assert ada.api("GET", f"runs/{kept['run']}")["answer"]
    assert delete(ada, ids["session"]).status_code == 404
    noted = until(lambda: [one for one in audited(deployed, ada) if one[0] == "session.delete" and one[2] == "ok"])
    assert noted == [("session.delete", ids["session"], "ok")]
    again = ada.api("POST", "runs", 201, json={"message": "anew", "session": "doomed", "mode": "direct"})
    assert again["session"] != ids["session"]
    ada.finished(again["run"])


def test_an_administrator_of_the_tenant_deletes_for_a_user_and_nobody_else_does(deployed: World, ada: Person) -> None:
    ids = filled(ada)
    carl, bob = deployed.person(1), deployed.person(0, "Fleet.Admin")
    admin = deployed.person(1, "Fleet.Admin")
    rows = deployed.rows_of(ada, *ids.values())
    told = [delete(carl, ids["session"]), delete(bob, ids["session"]), delete(admin, ids["session"])]
    told += [delete(bob, ids["session"], user=ada.user)]
    assert {(one.status_code, one.json()["code"]) for one in told} == {(404, "not_found")}
    refused = delete(carl, ids["session"], user=ada.user)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    reader = deployed.person(1, "Fleet.Read")
    assert delete(reader, ids["session"]).json()["code"] == "permission_denied"
    assert deployed.rows_of(ada, *ids.values()) == rows
    assert delete(admin, ids["session"], user=ada.user).status_code == 200
    assert left(ada, ids) == []
    noted = until(lambda: [one for one in audited(deployed, admin) if one[0] == "session.delete" and one[2] == "ok"])
    assert noted == [("session.delete", f"{ids['session']} of {ada.user}", "ok")]
    denied = until(lambda: [one for one in audited(deployed, carl) if one[0] == "permission_denied"])
    assert denied == [("permission_denied", "fleet.sessions", "denied")]


def test_a_session_that_is_answering_or_held_elsewhere_is_not_deleted(
    deployed: World, ada: Person, model: Model, tmp_path: Path
) -> None:
    gate = model.gate("still thinking")
    asked = {"message": "still thinking", "session": "busy", "mode": "direct"}
    started = ada.api("POST", "runs", 201, json=asked)
    assert delete(ada, "busy").json()["code"] == "session_busy"
    gate.open()
    ada.finished(started["run"])
    kernel = deployed.server.client.post(f"{deployed.server.origin}/api/kernels", json={}).json()["id"]
    lease = json.loads((ada.home / "sessions" / f"{started['session']}.lease").read_text())
    assert lease["pid"]
    owner = deployed.person(1, "Fleet.Run", "Jupyter.Use")
    attached = {**asked, "message": "here", "session": "attached", "kernel_id": kernel, "model": "fleet/offline"}
    run = owner.api("POST", "runs", 201, json=attached)
    owner.finished(run["run"])
    told = delete(owner, "attached").json()
    assert told["code"] == "session_in_use"
    assert kernel in told["message"]
    deployed.server.client.delete(f"{deployed.server.origin}/api/kernels/{kernel}").raise_for_status()


def test_archiving_stays_the_default_and_what_is_asked_wrongly_is_refused(ada: Person) -> None:
    run = ada.api("POST", "runs", 201, json={"message": "What?", "session": "soft", "mode": "direct"})
    ada.finished(run["run"])
    assert ada.api("DELETE", "sessions/soft")["status"] == "archived"
    assert ada.api("POST", "sessions/soft/restore")["status"] == "active"
    for query in ("permanent=maybe", "user=somebody", "forever=true"):
        assert ada.request("DELETE", f"/fleet/api/v1/sessions/soft?{query}").json()["code"] == "invalid_request"
    assert ada.api("GET", "sessions/soft")["status"] == "active"
