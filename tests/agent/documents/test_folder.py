"""Folders: what a loaded directory gives a sandbox is what the directory itself would give."""

from __future__ import annotations

from pathlib import Path

from fleet_rlm.agent.documents import Documents
from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.agent.roots import Roots
from fleet_rlm.core.loop import run_sync
from fleet_rlm.rlm.describe import describe
from fleet_rlm.sandbox.files import GrantedDirectory
from tests.agent.documents.samples import written
from tests.agent.tools.desks import tools_of, workspace_in


def shelf(root: Path) -> Path:
    written(root, "shelf/b/c.txt", "zwölf\r\n")
    written(root, "shelf/a.txt", "x" * 100)
    written(root, "shelf/empty.txt", "")
    written(root, "shelf/latin.txt", "zwölf".encode("latin-1"))
    written(root, "shelf/noise", b"\0")
    return root / "shelf"


def test_a_kept_folder_is_described_and_read_like_the_directory(tmp_path: Path) -> None:
    directory = GrantedDirectory(shelf(tmp_path))
    documents = Documents()
    kept = run_sync(Loader(documents, Roots(tmp_path), Fetcher()).load("shelf")).value()
    assert isinstance(kept, GrantedDirectory)
    assert kept.texts() == directory.texts()
    assert kept.file_sizes() == {path: len(text.encode()) for path, text in directory.texts().items()}
    assert describe("x", kept)["type"] == describe("x", directory)["type"] == "directory"


def test_in_the_sandbox_it_is_the_same_mapping_and_says_what_was_left_out(tmp_path: Path) -> None:
    shelf(tmp_path)

    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path), values={"granted": GrantedDirectory(tmp_path / "shelf")}) as tools:
            await tools("load_document", path="shelf")
            code = (
                "print(dict(shelf) == dict(granted), list(shelf) == sorted(granted), shelf.root, list(shelf.skipped))"
            )
            return await tools("execute_code", code=code)

    assert run_sync(ask()) == "True True shelf ['noise']"
