"""`fleet serve`, `lab` and `openapi` in a terminal: what runs them is tested in tests/server/test_launch.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fleet_rlm.cli.main import main
from tests.server.serving import ROOT


def test_openapi_prints_the_committed_document() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fleet_rlm.cli", "openapi"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["serve", "serve-api", "lab", "web"])
def test_servers_are_on_this_machine_unless_told_otherwise(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "others than this machine's need a sign-in" in told
