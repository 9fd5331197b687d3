"""The house rules that a machine can check: style, types, who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def ends_well(*command: str) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]


def test_ruff_finds_no_fault() -> None:
    ends_well("-m", "ruff", "check", ".")


def test_every_file_is_formatted() -> None:
    ends_well("-m", "ruff", "format", "--check", ".")


def test_every_type_holds_under_strict_mypy() -> None:
    ends_well("-m", "mypy")


def test_imports_go_one_way() -> None:
    ends_well("-c", "import importlinter.cli as cli; cli.lint_imports_command()")
