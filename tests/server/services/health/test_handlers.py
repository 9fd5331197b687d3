"""Health, readiness and who is asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.server.serving import Serving
from tests.twins.lm_server import LMServer


def asked(server: Serving, path: str, **headers: str) -> tuple[int, Any]:
    answer = httpx.get(f"{server.origin}/fleet/{path}", headers=headers, timeout=60, trust_env=False)
    return answer.status_code, answer.json()


def test_a_probe_needs_no_sign_in_and_is_told_no_reasons(server: Serving) -> None:
    status, health = asked(server, "health")
    assert (status, health["ok"]) == (200, True)
    status, ready = asked(server, "ready")
    assert (status, ready["ready"]) == (200, True)
    parts = {name: ready[name] for name in ("model", "store", "sandbox", "auth")}
    assert parts == {name: {"state": "ready", "reason": None} for name in parts}


def test_who_is_signed_in_is_told_what_was_found(server: Serving) -> None:
    told = server.client.get(f"{server.origin}/fleet/ready").json()
    assert told["model"]["reason"] == "the provider of twin answers"
    assert told["store"]["reason"] == "SQLite"
    assert "local" in told["sandbox"]["reason"]


def test_each_part_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    with LMServer(lambda *_: "", key="another") as twin:
        environ = {"FLEET_LM": "openai/m", "OPENAI_BASE_URL": twin.base_url, "OPENAI_API_KEY": "wrong-key-1234"}
        with Serving(tmp_path, FLEET_SANDBOX="nowhere", **environ) as server:
            assert not server.post("runtime/tests/lm", 200)["ok"]
            answer = server.client.get(f"{server.origin}/fleet/ready")
            told = answer.json()
            assert (answer.status_code, told["ready"], told["auth"]["state"]) == (503, False, "ready")
            assert "does not accept this server's key" in told["model"]["reason"]
            assert "nowhere" in told["sandbox"]["reason"]
            states = {name: told[name]["state"] for name in ("model", "store", "sandbox")}
            assert states == {"model": "failed", "store": "ready", "sandbox": "failed"}
            check = server.post("runtime/tests/sandbox", 200)
            assert (check["ok"], "nowhere" in check["detail"]) == (False, True)
            server.stop()
            for file in (tmp_path / "fleet").glob("fleet.db*"):
                file.write_text("no database" * 100)
            server.start()
            assert "is damaged" in server.client.get(f"{server.origin}/fleet/ready").json()["store"]["reason"]


def test_one_is_told_who_one_is_and_what_one_may(server: Serving) -> None:
    told = server.get("auth/me")
    assert (told["tenant"], told["user"], told["roles"]) == (
        "local",
        "local",
        ["Fleet.Admin", "Fleet.Read", "Fleet.Run"],
    )
    who = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "ada", "X-Fleet-Debug-Roles": "Fleet.Read"}
    other = server.client.get(f"{server.base}auth/me", headers=who).json()
    assert (other["tenant"], other["user"]) == ("acme", "ada")
    assert "read fleet.runs" in other["permissions"]
    assert "execute fleet.runs" not in other["permissions"]
    assert asked(server, "api/v1/auth/me")[0] == 401
