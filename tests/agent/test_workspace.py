"""The workspace: an agent's turn loads, reads and keeps, and the next turn finds what it left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.agent.documents import Documents
from fleet_rlm.agent.request import request
from fleet_rlm.agent.resume import Surroundings, resume
from fleet_rlm.agent.roots import Roots
from fleet_rlm.agent.runtime import begin
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.errors import ModelError, UserError
from fleet_rlm.core.run import Run
from tests.agent.documents.samples import CANARY, every_format, written
from tests.twins.replies import server_error
from tests.twins.running import kinds, model
from tests.twins.scripts import answer, react_step, rlm_action

FINISH = [react_step("done", "finish")]


def turn(workspace: Workspace, *steps: Any, **roles: Any) -> tuple[Run, list[str]]:
    """One turn of an agent that takes these steps; the run, and the prompts the model got."""
    given = {"react_step": [*steps, *FINISH], "react_extract": answer(reasoning="-", answer="done"), **roles}
    with model(**given) as (server, lm):
        run = begin(request("What is the canary?", lm=lm), workspace=workspace).wait()
        return run, [asked.text for asked in server.requests]


def test_an_agent_loads_a_paper_and_a_child_reads_it(tmp_path: Path) -> None:
    written(tmp_path, "paper.pdf", every_format()["paper.pdf"])
    workspace = Workspace(roots=Roots(tmp_path))
    run, prompts = turn(
        workspace,
        react_step("load", "load_document", path="paper.pdf"),
        react_step("ask", "delegate_to_rlm", query="the canary?", document="paper"),
        rlm_action=rlm_action("read", "SUBMIT(answer=paper.splitlines()[4])"),
    )
    assert run.status == "ok"
    assert kinds(run, "tool") == ["load_document", "load", "delegate_to_rlm"]
    assert "loaded paper: pdf" in prompts[1]
    assert CANARY in prompts[-1]
    assert [one.alias for one in workspace.documents] == ["paper"]


def test_the_next_turn_is_told_of_the_documents_and_has_them_in_its_sandbox(tmp_path: Path) -> None:
    workspace = Workspace(roots=Roots(tmp_path))
    workspace.documents.add("notes", "a test", "text", [CANARY])
    run, prompts = turn(workspace, react_step("read", "execute_code", code="print(notes.upper())"))
    assert "Variable: `notes`" in prompts[0]
    assert CANARY.upper() in prompts[1]
    assert len(kinds(run, "code")) == 1


def test_a_document_outlives_its_session_s_process_by_state_and_directory(tmp_path: Path) -> None:
    written(tmp_path, "root/letter.docx", every_format()["letter.docx"])
    first = Workspace(roots=Roots(tmp_path / "root"), documents=Documents(tmp_path / "kept"))
    turn(first, react_step("load", "load_document", path="letter.docx"))
    state = json.loads(json.dumps(first.documents.state()))
    second = Workspace(roots=None, documents=Documents.from_state(state, tmp_path / "kept"))
    _, prompts = turn(second, react_step("read", "execute_code", code="print(letter.upper())"))
    assert CANARY.upper() in prompts[1]


def test_a_refused_file_is_an_observation_the_agent_can_act_on(tmp_path: Path) -> None:
    run, prompts = turn(Workspace(roots=Roots(tmp_path)), react_step("spy", "load_document", path="/etc/passwd"))
    assert f"load_document failed: /etc/passwd is outside of the root {tmp_path.name};" in prompts[1]
    assert str(tmp_path) not in prompts[1]
    assert "root:x:" not in prompts[1]
    assert run.status == "ok"


def test_settings_give_the_roots_and_the_hosts_that_may_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_ROOTS", str(tmp_path))
    monkeypatch.setenv("FLEET_FETCH_ALLOW", "Wiki.example:8080, localhost")
    workspace = Workspace()
    assert workspace.roots is not None
    assert workspace.roots.paths == (tmp_path.resolve(),)
    assert workspace.fetcher.allows("wiki.example", 8080)
    assert workspace.fetcher.allows("localhost", 1)
    assert not workspace.fetcher.allows("wiki.example", 80)
    monkeypatch.setenv("FLEET_ROOTS", str(tmp_path / "gone"))
    with pytest.raises(UserError, match="FLEET_ROOTS"):
        Workspace()


def test_a_turn_goes_on_though_the_text_of_a_document_is_gone_and_says_so(tmp_path: Path) -> None:
    workspace = Workspace(roots=Roots(tmp_path), documents=Documents(tmp_path / "kept"))
    written(tmp_path, "notes.txt", CANARY)
    workspace.documents.add("notes", "notes.txt", "text", [CANARY]).path.unlink()
    _, prompts = turn(
        workspace,
        react_step("list", "list_documents"),
        react_step("again", "load_document", path="notes.txt", alias="notes"),
        react_step("read", "execute_code", code="print(notes.upper())"),
    )
    assert "a document whose text is gone: load notes.txt again" in prompts[0]
    assert "its text is gone, load it again" in prompts[1]
    assert CANARY.upper() in prompts[3]


def test_a_resumed_turn_has_the_text_that_was_loaded_before_though_its_source_has_changed(tmp_path: Path) -> None:
    workspace = Workspace(roots=Roots(tmp_path), documents=Documents(tmp_path / "kept"))
    written(tmp_path, "notes.txt", "old")
    steps = [
        react_step("load", "load_document", path="notes.txt"),
        react_step("refused", "load_document", path="gone.txt"),
    ]
    with model(react_step=[*steps, server_error(400)]) as (_, lm):
        run = begin(request("What?", lm=lm), workspace=workspace)
        with pytest.raises(ModelError):
            run.wait()
    (tmp_path / "notes.txt").unlink()
    written(tmp_path, "gone.txt", "there now")
    fresh = Workspace(roots=Roots(tmp_path), documents=Documents(tmp_path / "kept"))
    with model(
        react_step=[react_step("read", "execute_code", code="print(notes * 2)"), *FINISH],
        react_extract=answer(reasoning="-", answer="done"),
    ) as (server, lm):
        again = resume(run, around=Surroundings(workspace=fresh), lm=lm).wait()
        assert "oldold" in server.requests[1].text
        assert "does not exist" in server.requests[0].text
    assert (again.status, [one.alias for one in fresh.documents]) == ("ok", ["notes"])
