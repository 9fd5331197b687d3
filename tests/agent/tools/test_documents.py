"""Tools for documents: what they tell the agent, and that what they change is the session's."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.roots import OutsideRoots
from fleet_rlm.core.loop import run_sync
from tests.agent.documents.repositories import repository
from tests.agent.documents.samples import every_format, written
from tests.agent.tools.desks import tools_of, workspace_in


def test_what_was_loaded_is_told_listed_and_kept_by_the_session(tmp_path: Path) -> None:
    written(tmp_path, "notes.txt", "the heron stands\n" * 100)
    written(tmp_path, "table.csv", "a,b\n1,2\n")
    workspace = workspace_in(tmp_path)

    async def ask() -> list[str]:
        async with tools_of(workspace) as tools:
            return [
                await tools("list_documents"),
                await tools("load_document", path="notes.txt"),
                await tools("load_document", path="table.csv", alias="numbers"),
                await tools("set_active_document", alias="notes"),
                await tools("list_documents"),
            ]

    none, notes, _, active, listed = run_sync(ask())
    assert none == "no document is loaded"
    assert notes.startswith(f"loaded notes: text, 1,700 characters, from {tmp_path.resolve()}/notes.txt")
    assert notes.endswith("the heron stands\n")
    assert "characters not shown" in notes or "(not shown)" in notes
    assert active.startswith("the active document is notes")
    assert [line[:9] for line in listed.splitlines()] == ["* notes: ", "- numbers"]
    assert workspace.documents.get().alias == "notes"


def test_a_repository_is_a_mapping_in_the_sandbox(tmp_path: Path) -> None:
    repository(tmp_path / "repo")

    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path)) as tools:
            await tools("load_repository", repo_url="repo", repo_ref="v1", alias="code")
            return await tools("execute_code", code="print(sorted(code), code['src/a.py'])")

    assert run_sync(ask()) == "['README.md', 'src/a.py'] print('one')"


@pytest.mark.parametrize(
    ("path", "error"),
    [("../x", OutsideRoots), ("/etc/passwd", OutsideRoots), ("http://127.0.0.1/", DocumentError)],
)
def test_what_may_not_be_read_is_an_error_and_no_document(path: str, error: type[Exception], tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path)

    async def ask() -> None:
        async with tools_of(workspace) as tools:
            with pytest.raises(error):
                await tools("load_document", path=path)

    run_sync(ask())
    assert len(workspace.documents) == 0


def test_chunks_are_a_list_in_the_sandbox_and_their_titles_are_told(tmp_path: Path) -> None:
    written(tmp_path, "guide.md", "intro\n# One\nx\n# Two\ny\n")

    async def ask() -> tuple[str, str]:
        async with tools_of(workspace_in(tmp_path)) as tools:
            await tools("load_document", path="guide.md")
            told = await tools("chunk_document", strategy="headers")
            return told, await tools("execute_code", code="print(guide_chunks)")

    told, chunks = run_sync(ask())
    assert told == "`guide_chunks` holds 3 chunks of at most 8 characters:\n0: intro\n1: # One\n2: # Two"
    assert chunks == "['intro\\n', '# One\\nx\\n', '# Two\\ny\\n']"


def test_of_many_chunks_only_the_first_titles_are_told(tmp_path: Path) -> None:
    written(tmp_path, "long.txt", "0123456789" * 100)

    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path)) as tools:
            return await tools("chunk_document", document="long.txt", size=10)

    told = run_sync(ask()).splitlines()
    assert (told[0], told[-1]) == (
        "`long_chunks` holds 100 chunks of at most 10 characters:",
        "... and 60 more",
    )


def test_chunks_never_take_the_name_of_other_data(tmp_path: Path) -> None:
    written(tmp_path, "logs.txt", "one two")

    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path), values={"logs_chunks": "own"}) as tools:
            with pytest.raises(DocumentError, match="`logs_chunks` is that of other data"):
                await tools("chunk_document", document="logs.txt")
            await tools("load_document", path="logs.txt", alias="other")
            for size in (3, 4):
                await tools("chunk_document", document="other", size=size)
            return await tools("execute_code", code="print(logs_chunks, other_chunks)")

    assert run_sync(ask()) == "own ['one ', 'two']"


def test_a_machine_that_cannot_load_is_an_error_the_agent_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for temporary files, where a parser needs one."""
    written(tmp_path, "paper.pdf", every_format()["paper.pdf"])

    async def ask() -> None:
        async with tools_of(workspace_in(tmp_path)) as tools:
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
            with pytest.raises(DocumentError, match=r"paper\.pdf cannot be loaded: No such file"):
                await tools("load_document", path="paper.pdf")
            monkeypatch.setattr(tempfile, "tempdir", None)

    run_sync(ask())
