"""Settings, status, and checks that really check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.services.conftest import KEY, SECRETS, Model
from tests.server.serving import Serving

RUNNER = {"X-Fleet-Debug-Roles": "Fleet.Run"}


def patch(server: Serving, **updates: Any) -> httpx.Response:
    return server.client.patch(f"{server.base}runtime/settings", json={"updates": updates})


def test_settings_are_told_without_any_secret(server: Serving) -> None:
    answer = server.client.get(f"{server.base}runtime/settings")
    told = answer.json()["values"]
    assert (told["FLEET_LM"], told["OPENAI_API_KEY"], told["GROQ_API_KEY"]) == ("openai/twin", "(set)", None)
    assert not [secret for secret in SECRETS.values() if secret in answer.text]


def test_a_change_holds_for_kernels_started_afterwards_and_can_be_taken_back(server: Serving) -> None:
    changed = patch(server, FLEET_LM="fleet/offline", FLEET_DIRECT_CHARS="5")
    assert changed.json()["values"]["FLEET_LM"] == "fleet/offline"
    assert server.get("runtime/status")["model"] == "fleet/offline"
    run = server.post("runs", message="How many lines?", session="changed", mode="direct")["run"]
    assert server.finished(run)["offline"]
    environ = server.environment_of(server.kernel_of("changed"))
    assert environ["FLEET_DIRECT_CHARS"] == "5"
    back = patch(server, FLEET_LM=None, FLEET_DIRECT_CHARS=None).json()["values"]
    assert (back["FLEET_LM"], back["FLEET_DIRECT_CHARS"]) == ("openai/twin", None)
    assert server.get("runtime/status")["model"] == "twin"


@pytest.mark.parametrize(
    "updates",
    [
        {"FLEET_LM": "m@http://127.0.0.1:9/v1"},
        {"FLEET_LM": "openai/m@https://evil.example/v1"},
        {"FLEET_LM": "https://evil.example/v1"},
        {"FLEET_LM": "ollama/m"},
        {"FLEET_LM": "anthropic/a\nb"},
        {"FLEET_LM": "groq/llama"},
        {"OPENAI_BASE_URL": "https://evil.example/v1"},
        {"OPENAI_API_KEY": "sk-1234567890"},
        {"FLEET_HOME": "/tmp"},
        {"FLEET_WINDOW": "-1"},
        {"FLEET_WINDOW": "1", "FLEET_LM": "evil/x"},
        {},
    ],
)
def test_nothing_is_changed_that_could_send_a_key_elsewhere(server: Serving, updates: dict[str, str]) -> None:
    before = server.get("runtime/settings")
    assert patch(server, **updates).status_code in (400, 422)
    assert server.get("runtime/settings") == before


def test_only_an_administrator_changes_settings_and_runs_checks(server: Serving) -> None:
    body = {"updates": {"FLEET_WINDOW": "10"}}
    assert server.client.patch(f"{server.base}runtime/settings", json=body, headers=RUNNER).status_code == 403
    assert server.client.post(f"{server.base}runtime/tests/lm", headers=RUNNER).status_code == 403


def test_the_model_is_really_asked(server: Serving, model: Model) -> None:
    before = model.asked("Reply with the one word")
    told = server.post("runtime/tests/lm", 200)
    assert (told["kind"], told["ok"], told["detail"]) == ("lm", True, "twin answered: plain")
    assert told["latency_ms"] > 0
    assert model.asked("Reply with the one word") == before + 1
    assert KEY not in str(told)


def test_the_sandbox_really_computes(server: Serving) -> None:
    told = server.post("runtime/tests/sandbox", 200)
    assert (told["kind"], told["ok"]) == ("sandbox", True)
    assert "started and computed in" in told["detail"]
    status = server.get("runtime/status")
    assert "sandbox" in {check["kind"] for check in status["checks"]}
    assert status["readiness"]["ready"]


def test_where_others_sign_in_settings_are_the_administrators(tmp_path: Path) -> None:
    from fleet_rlm.core.errors import FleetError
    from fleet_rlm.server.services.house import House, Limits
    from fleet_rlm.server.services.kernels.service import Rules
    from fleet_rlm.server.services.runtime.models import PatchSettings

    limits = Limits(rules=Rules(), lm_calls=None, lm_tokens=None, slow_client_s=10)
    house = House(None, limits, {"FLEET_HOME": str(tmp_path)})
    asked = PatchSettings(updates={"FLEET_LM": "fleet/offline"})
    for app_env in ("staging", "production"):
        with pytest.raises(FleetError, match=f"APP_ENV is {app_env}"):
            house.runtime.change(app_env, asked)
        assert house.runtime.settings(app_env).changeable == []
