"""The desk: what is loaded reaches the sandbox as text, whatever its format, and so do children."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.core.loop import run_sync
from tests.agent.documents.samples import CANARY, every_format, written
from tests.agent.tools.desks import tools_of, workspace_in
from tests.twins.running import model
from tests.twins.scripts import rlm_action

SEARCH = "import re\nprint(re.search(r'canary is ([a-z]+-\\d+)', {0}).group(1))"


@pytest.mark.parametrize("name", every_format())
def test_code_in_the_sandbox_finds_the_canary_of_every_format(name: str, tmp_path: Path) -> None:
    written(tmp_path, name, every_format()[name])

    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path)) as tools:
            await tools("load_document", path=name, alias="loaded")
            return await tools("execute_code", code=SEARCH.format("loaded"))

    assert run_sync(ask()) == "heron-5531"


def test_code_in_the_sandbox_finds_the_canary_in_a_directory_and_every_document_below_it(tmp_path: Path) -> None:
    for name, data in every_format().items():
        written(tmp_path, f"shelf/{name}", data)

    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path)) as tools:
            await tools("load_document", path="shelf")
            return await tools("execute_code", code=f"sorted(path for path in shelf if {CANARY!r} in shelf[path])")

    assert run_sync(ask()) == repr(sorted(every_format()))


def test_a_child_reads_a_document_that_was_loaded_during_the_run(tmp_path: Path) -> None:
    written(tmp_path, "notes.txt", CANARY)

    async def ask() -> str:
        with model(rlm_action=rlm_action("read", "SUBMIT(answer=notes.upper())")) as (_, lm):
            async with tools_of(workspace_in(tmp_path), lm=lm) as tools:
                return await tools("delegate_to_rlm", query="shout it", document="notes.txt")

    assert run_sync(ask()) == CANARY.upper()


def test_documents_of_the_session_are_there_from_the_start_and_what_code_made_of_them_stays(tmp_path: Path) -> None:
    async def ask() -> list[str]:
        workspace = workspace_in(tmp_path)
        workspace.documents.add("notes", "a test", "text", [CANARY])
        async with tools_of(workspace) as tools:
            first = await tools("execute_code", code="notes = notes.title()\nprint(notes)")
            return [first, await tools("execute_code", code="print(notes)")]

    assert run_sync(ask()) == [CANARY.title()] * 2


def test_a_document_loaded_anew_under_its_alias_replaces_the_variable(tmp_path: Path) -> None:
    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path)) as tools:
            for text in ("old", "new"):
                written(tmp_path, "notes.txt", text)
                await tools("load_document", path="notes.txt", alias="notes")
                answer = await tools("execute_code", code="print(notes)")
            return answer

    assert run_sync(ask()) == "new"


def test_a_document_cannot_take_the_name_of_the_question_s_own_data(tmp_path: Path) -> None:
    written(tmp_path, "logs.txt", "x")

    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path), values={"logs": "own"}) as tools:
            with pytest.raises(DocumentError, match="choose another alias"):
                await tools("load_document", path="logs.txt", alias="logs")
            await tools("load_document", path="logs.txt")
            return await tools("execute_code", code="print(logs, logs_2)")

    assert run_sync(ask()) == "own x"
