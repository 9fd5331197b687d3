"""A user's program is checked by mypy --strict as it stands, and what is wrong in one is seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.server.serving import ROOT

EXAMPLE = ROOT / "tests" / "client" / "example.py"
WRONG = """
from fleet_rlm.client import Client

fleet = Client("http://127.0.0.1:8000")
fleet.runs.start("Why?", mod="auto")  # no such option
fleet.runs.start("Why?", mode="fast")  # no such mode
fleet.runs.get(1)
fleet.runs.wait("r").anwser
"""


def test_an_editor_knows_every_argument_and_result(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    files = [str(EXAMPLE), str(tmp_path / "wrong.py")]
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={ROOT / '.mypy_cache' / 'example'}",
    ]
    command += ["--follow-imports=silent", "--ignore-missing-imports", "--no-error-summary", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = done.stdout.splitlines()
    assert not [line for line in found if "example.py" in line], done.stdout + done.stderr
    lines = {int(line.split(":")[1]) for line in found if "error:" in line}
    assert lines == {5, 6, 7, 8}, done.stdout + done.stderr
