"""Tools for files: what they find, what they leave out, and that nothing outside the roots is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.patterns import BadPattern
from fleet_rlm.agent.roots import OutsideRoots
from fleet_rlm.agent.tools import files as module
from fleet_rlm.core.errors import UserError
from fleet_rlm.core.loop import run_sync
from tests.agent.documents.samples import every_format, written
from tests.agent.tools.desks import tools_of, workspace_in


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    written(root, "a.py", "import os\nprint('heron')\n")
    written(root, "logs/app.log", "one\nERROR heron\nthree\n")
    written(root, ".git/config", "heron")
    written(root, "noise.bin", b"heron\0")
    written(tmp_path, "outside/secret.txt", "heron secret")
    (root / "link.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (root / "away").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "pipe")
    return root


def ask(root: Path, tool: str, /, **arguments: object) -> str:
    async def asked() -> str:
        async with tools_of(workspace_in(root)) as tools:
            return await tools(tool, **arguments)

    return run_sync(asked())


def test_files_are_listed_with_sizes_and_nothing_is_followed_out(root: Path) -> None:
    assert ask(root, "list_files").splitlines() == [
        *("a.py (25 bytes)", "noise.bin (6 bytes)", "logs/app.log (22 bytes)")
    ]
    assert ask(root, "list_files", path="logs", pattern="*.log") == "app.log (22 bytes)"
    assert ask(root, "list_files", pattern="logs/*") == "logs/app.log (22 bytes)"
    assert ask(root, "list_files", pattern="*.zip") == "no file fits '*.zip'"


def test_a_long_list_is_cut_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED", 2)
    assert ask(root, "list_files").splitlines()[-1].startswith("... and more; the first 2 are listed")


def test_text_is_found_with_its_place_in_text_files_only(root: Path) -> None:
    assert ask(root, "find_files", pattern="her[o]n").splitlines() == [
        *("a.py:2: print('heron')", "logs/app.log:2: ERROR heron")
    ]
    assert ask(root, "find_files", pattern="heron", name="*.log") == "logs/app.log:2: ERROR heron"
    assert ask(root, "find_files", pattern="stork") == "nothing matches 'stork'"
    with pytest.raises(BadPattern):
        ask(root, "find_files", pattern="(")


def test_many_hits_are_cut_and_a_search_ends_in_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(root, "many.txt", "heron\n" * 1000)
    assert ask(root, "find_files", pattern="heron", name="many.txt").count("\n") == 50
    monkeypatch.setattr(module, "SECONDS", -1.0)
    assert "stopped after" in ask(root, "find_files", pattern="heron")


def test_lines_are_read_with_their_numbers_from_files_and_documents(root: Path) -> None:
    assert ask(root, "read_file_slice", path="logs/app.log", start_line=2, num_lines=1) == "2: ERROR heron"
    assert ask(root, "read_file_slice", path="a.py") == "1: import os\n2: print('heron')"
    assert ask(root, "read_file_slice", path="a.py", start_line=9) == "a.py has no line 9"

    async def of_a_document() -> str:
        written(root, "paper.pdf", every_format()["paper.pdf"])
        async with tools_of(workspace_in(root)) as tools:
            await tools("load_document", path="paper.pdf")
            return await tools("read_file_slice", path="paper", start_line=4, num_lines=2)

    assert run_sync(of_a_document()) == "4: [page 2]\n5: the canary is heron-5531"


def test_long_lines_and_long_slices_are_cut_and_say_where_to_go_on(root: Path) -> None:
    written(root, "wide.txt", ("x" * 10_000 + "\n") * 100)
    lines = ask(root, "read_file_slice", path="wide.txt", num_lines=100).splitlines()
    assert lines[0].endswith("... (10,000 characters)")
    assert lines[-1] == f"... read on from line {len(lines)}"
    assert sum(map(len, lines)) < 20_000


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        ("list_files", {"path": ".."}, OutsideRoots),
        ("list_files", {"path": "away"}, OutsideRoots),
        ("list_files", {"path": "a.py"}, UserError),
        ("find_files", {"pattern": "x", "path": "/etc"}, OutsideRoots),
        ("read_file_slice", {"path": "link.txt"}, OutsideRoots),
        ("read_file_slice", {"path": "noise.bin"}, DocumentError),
        ("read_file_slice", {"path": "pipe"}, DocumentError),
        ("read_file_slice", {"path": "a.py", "start_line": 0}, UserError),
        ("read_file_slice", {"path": "a.py", "num_lines": 100_000}, UserError),
    ],
)
def test_what_may_not_or_cannot_be_read_is_one_sentence(
    tool: str, arguments: dict[str, object], error: type[Exception], root: Path
) -> None:
    with pytest.raises(error) as caught:
        ask(root, tool, **arguments)
    assert "\n" not in str(caught.value)
