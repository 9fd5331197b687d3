"""Sandboxes by name, and the least confinement that is asked of a local one."""

from __future__ import annotations

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import UserError
from fleet_rlm.sandbox.local import LocalSandbox
from fleet_rlm.sandbox.registry import sandbox_named


@pytest.mark.parametrize(
    ("name", "least", "tier"),
    [
        ("local", "confined", "auto"),
        ("local", "confined+ns", "confined+ns"),
        ("process", "confined+ns", "process"),
    ],
)
def test_a_local_sandbox_has_at_least_the_tier_that_is_asked_of_it(name: str, least: str, tier: str) -> None:
    sandbox = sandbox_named(name, least=least)
    assert isinstance(sandbox, LocalSandbox)
    assert sandbox.tier == tier


def test_the_tier_of_the_environment_is_that_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_SANDBOX_TIER", "confined+ns")
    run = fleet.run("How many lines mention 'a'?", context="a\nb\n" * 20_000, mode="rlm_only")
    assert run.isolation is not None
    assert run.isolation.tier == "confined+ns"


def test_a_name_that_is_none_is_told_with_a_close_one() -> None:
    with pytest.raises(UserError, match="did you mean 'local'"):
        sandbox_named("locl")
