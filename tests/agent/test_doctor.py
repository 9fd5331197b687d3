"""The doctor tries things instead of guessing, and names the way out of what does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_rlm.agent.doctor import Check, checks


def found() -> dict[str, Check]:
    return {check.name: check for check in checks()}


def test_a_sound_installation_is_sound_in_every_point() -> None:
    by_name = found()

    assert list(by_name) == [
        "python",
        "dspy",
        "model",
        "sandbox",
        "home",
        "ipython",
        "ipywidgets",
        "anywidget",
        "widget",
    ]
    assert [check for check in by_name.values() if not check.ok and check.name != "widget"] == []
    assert "confined" in by_name["sandbox"].detail
    assert "not a language model" in by_name["model"].detail
    assert "FLEET_LM" in by_name["model"].way_out


def test_a_sandbox_without_confinement_is_not_praised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_SANDBOX", "process")

    assert "no confinement" in found()["sandbox"].detail


def test_a_home_that_cannot_be_written_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "file" / "home"))

    home = found()["home"]
    assert not home.ok
    assert "FLEET_HOME" in home.way_out


def test_a_missing_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_LM", "openai/gpt-5-mini")

    model = found()["model"]
    assert not model.ok
    assert "OPENAI_API_KEY" in model.detail


def test_a_setting_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_DIRECT_CHARS", "many")

    settings = found()["settings"]
    assert not settings.ok
    assert "FLEET_DIRECT_CHARS" in settings.detail
