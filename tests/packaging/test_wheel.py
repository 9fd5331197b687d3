"""From a checkout to a machine that has only the wheel: sdist, wheel, a clean environment, the demo, `%%fleet`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "_static", "dist", "build", "__pycache__", ".*_cache", ".hypothesis"
)

CELL = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "fleet_rlm")
shell.user_ns["letter"] = "Dear Ada,\\nthe magic number for Lisbon is 48151.\\n" * 2000
result = shell.run_cell("%%fleet --with letter -o found\\nHow many lines mention 'Lisbon'?")
result.raise_error()
print("FOUND", shell.user_ns["found"], shell.user_ns["_run"].status)
"""


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-6_000:]}\n{done.stderr[-6_000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of sdist and wheel, built from a copy without any built file; the wheel is built from the sdist."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", cwd=folder / "source")
    return folder / "dist"


@pytest.fixture(scope="module")
def clean(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel and what it asks for, in the versions that are pinned."""
    folder = tmp_path_factory.mktemp("clean")
    pins = (ROOT / "requirements" / "run.txt").read_text()
    (folder / "constraints.txt").write_text("\n".join(re.findall(r"^[^\s#][^\\\n]*", pins, re.MULTILINE)))
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    (wheel,) = built.glob("*.whl")
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "-qq", "--no-compile"]
    run(*pip, "-c", folder / "constraints.txt", wheel, cwd=folder)
    return folder / "venv" / "bin"


@pytest.fixture
def environ(clean: Path, tmp_path: Path) -> dict[str, str]:
    """As a user has it who installed nothing else: only the environment's own commands, no settings, a home."""
    kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "TMPDIR")}
    return {**kept, "PATH": str(clean), "HOME": str(tmp_path), "FLEET_HOME": str(tmp_path / "home")}


def test_the_sdist_holds_sources_and_built_files(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}

    assert {"fleet_rlm/_static/widget.js", "labextension/package.json", "hatch_build.py", "LICENSE"} <= names
    assert not [name for name in names if "node_modules" in name or name.startswith(".venv")]


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"fleet_rlm"}
    (enabling,) = (name for name in names if name.endswith("etc/jupyter/jupyter_server_config.d/fleet_rlm.json"))
    assert b'"fleet_rlm": true' in zipfile.ZipFile(wheel).read(enabling)
    assert {"fleet_rlm/_static/widget.js", "fleet_rlm/_static/widget.css", "fleet_rlm/core/report/page.css"} <= set(
        names
    )
    assert "-py3-none-any" in wheel.name


def test_the_commands_are_there_under_both_names(clean: Path, environ: dict[str, str], tmp_path: Path) -> None:
    told = run(clean / "fleet", "--version", cwd=tmp_path, env=environ)

    assert re.fullmatch(r"fleet-rlm \d+\.\d+\.\d+\n", told)
    assert told == run(clean / "fleet-rlm", "--version", cwd=tmp_path, env=environ)


def test_the_demo_runs_from_the_wheel_alone(clean: Path, environ: dict[str, str], tmp_path: Path) -> None:
    told = run(clean / "fleet", "demo", "--question", "3", cwd=tmp_path, env=environ)

    assert "rule-based stand-in, not a language model" in told
    assert "/payments/2026-03-05.log" in told
    report = Path(re.search(r"^report +(.+)$", told, re.MULTILINE)[1])  # type: ignore[index]
    assert report.read_text("utf-8").startswith("<!doctype html>")


def test_the_cell_magic_runs_from_the_wheel_alone(clean: Path, environ: dict[str, str], tmp_path: Path) -> None:
    told = run(clean / "python", "-c", CELL, cwd=tmp_path, env=environ)

    assert re.search(r"FOUND .*2,?000.* ok", told, re.DOTALL)


def test_without_the_extra_the_server_finds_no_extension_and_says_how_to_have_it(
    clean: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    code = "import fleet_rlm; print(fleet_rlm._jupyter_server_extension_points())"
    done = subprocess.run([clean / "python", "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert "pip install 'fleet-rlm[server]'" in done.stderr
