"""What the environment sets: every variable has an effect, and a wrong one is told by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.settings import Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_environ({})
    assert (settings.lm, settings.sub_lm, settings.sandbox) == (None, None, "local")
    assert settings.home.is_absolute()
    assert settings == Settings()


def test_every_field_has_a_variable_and_every_variable_a_field() -> None:
    environ = {
        "FLEET_LM": "openai/gpt-4o",
        "FLEET_SUB_LM": "openai/gpt-4o-mini",
        "FLEET_SANDBOX": "process",
        "FLEET_SANDBOX_TIER": "confined+ns",
        "FLEET_HOME": "~/runs",
        "FLEET_WINDOW": "8192",
        "FLEET_DIRECT_CHARS": "1000",
        "FLEET_KEEP_MB": "512",
        "DATABASE_URL": "postgresql://fleet_app@127.0.0.1/fleet",
        "FLEET_ROOTS": f"/data{os.pathsep} /more",
        "FLEET_CLOSED": f"/keys{os.pathsep}{os.pathsep}/more/keys",
        "FLEET_FETCH_ALLOW": "wiki.example, localhost:8080",
    }
    assert set(Settings.VARIABLES.values()) == set(environ)
    assert set(Settings.VARIABLES) == set(Settings.__dataclass_fields__) - {"VARIABLES"}
    assert Settings.from_environ(environ) == Settings(
        lm="openai/gpt-4o",
        sub_lm="openai/gpt-4o-mini",
        sandbox="process",
        sandbox_tier="confined+ns",
        home=Path.home() / "runs",
        window=8192,
        direct_chars=1000,
        keep_mb=512,
        database_url="postgresql://fleet_app@127.0.0.1/fleet",
        roots=("/data", "/more"),
        closed=("/keys", "/more/keys"),
        fetch_allow=("wiki.example", "localhost:8080"),
    )


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert Settings.from_environ({"FLEET_LM": "", "FLEET_DIRECT_CHARS": ""}) == Settings()


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "²"])
def test_a_number_that_is_none_is_told_by_its_variable(text: str) -> None:
    with pytest.raises(UserError, match="FLEET_DIRECT_CHARS must be a whole number of characters"):
        Settings.from_environ({"FLEET_DIRECT_CHARS": text})


def test_the_process_s_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_LM", "ollama_chat/qwen3")
    assert Settings.from_environ().lm == "ollama_chat/qwen3"


def test_a_tier_that_is_none_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"FLEET_SANDBOX_TIER must be confined or confined\+ns, not 'strong'"):
        Settings.from_environ({"FLEET_SANDBOX_TIER": "strong"})
