"""The Makefile says what it can do, and says so too when the machine's Python will not do."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_make_alone_lists_what_can_be_made() -> None:
    listed = make().stdout

    for target in ("demo", "lab", "test", "bench", "build", "clean"):
        assert re.search(rf"^  make {target} ", listed, re.MULTILINE)


def test_a_python_that_is_too_old_is_told_in_one_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit\nexit 1\n')
    old.chmod(0o755)

    done = make("demo", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")

    assert done.returncode != 0
    assert "Python 3.9.1 is too old; fleet-rlm needs 3.11 or newer" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_is_told_in_one_sentence(tmp_path: Path) -> None:
    done = make("demo", "PYTHON=no-such-python", f"VENV={tmp_path / 'venv'}")

    assert done.returncode != 0
    assert "no no-such-python here; install Python 3.11 or newer" in done.stderr
