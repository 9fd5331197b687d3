"""Model tests start from an environment that names no model, key or server."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model, key or address in the environment, and no price list from the network."""
    for name in list(os.environ):
        if name.startswith(("FLEET_", "DSPY_")) or name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
