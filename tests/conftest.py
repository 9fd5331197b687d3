"""Every test has a home of its own and sees none of the developer's models and keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_rlm.core.redaction import SECRET_NAME


@pytest.fixture(autouse=True)
def fleet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """FLEET_HOME of this test; no other FLEET_, DSPY_ or key variable is set."""
    for name in os.environ:
        if name.startswith(("FLEET_", "DSPY_")) or SECRET_NAME.search(name):
            monkeypatch.delenv(name)
    home = tmp_path / "fleet-home"
    monkeypatch.setenv("FLEET_HOME", str(home))
    return home
