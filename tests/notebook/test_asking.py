"""What a question hands to the engine, and when its names are bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from fleet_rlm.agent.request import request
from fleet_rlm.core.events import Event, RunEnd
from fleet_rlm.notebook.asking import read
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import answer, by_role


@pytest.fixture
def gate() -> Gate:
    """Opened, it lets the model answer."""
    return Gate()


@pytest.fixture
def model(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[LMServer]:
    with LMServer(by_role(direct=Reply(answer(answer="42"), gate=gate))) as server:
        monkeypatch.setenv("FLEET_LM", f"test@{server.base_url}")
        yield server
        gate.open()


def handed_over(line: str, namespace: dict[str, Any]) -> dict[str, Any]:
    question = read(line, "why?", namespace)
    assert question is not None
    return question.for_engine()


def test_the_engine_understands_what_is_handed_over() -> None:
    options = handed_over("--with xs --concurrency 3 --depth 1 --timeout 9 --model fleet/offline", {"xs": [1]})
    asked = request("why?", **options)
    assert (asked.concurrency, asked.budget.depth, asked.budget.seconds) == (3, 1, 9.0)


def test_the_answer_of_a_detached_run_is_bound_before_anybody_who_waits_goes_on(
    shell: InteractiveShell, model: LMServer, gate: Gate
) -> None:
    seen: list[Any] = []

    def note(event: Event) -> None:
        if isinstance(event, RunEnd):
            seen.append(shell.user_ns["found"])

    assert shell.run_cell("%%fleet --detach -o found\nWhat is the answer?").success
    run = shell.user_ns["_run"]
    run.log.subscribe(note)
    assert shell.user_ns["found"] is None
    gate.open()
    run.wait()
    assert [*seen, shell.user_ns["found"]] == ["42", "42"]


def test_a_detached_run_that_is_stopped_leaves_no_old_answer(shell: InteractiveShell, model: LMServer) -> None:
    shell.user_ns["found"] = "an old answer"
    assert shell.run_cell("%%fleet --detach -o found\nWhat is the answer?").success
    assert shell.run_cell("%fleet stop").success
    assert not shell.run_cell("_run.wait()").success
    assert shell.user_ns["found"] is None


def test_a_limit_is_changed_while_the_run_goes_on(
    shell: InteractiveShell, model: LMServer, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%%fleet --detach\nWhat is the answer?")
    run = shell.user_ns["_run"]
    model.wait_for(1)
    capsys.readouterr()
    assert shell.run_cell("%fleet limit _run --budget 7 --timeout=90").success
    assert capsys.readouterr().out.startswith(f"run {run.id} has left: 6 calls, ")
    assert run.budget.remaining.seconds <= 90
    gate.open()
    run.wait()
    assert not shell.run_cell("%fleet limit _run --budget 9").success
    assert "has ended (ok); its budget cannot change any more" in capsys.readouterr().err


def test_a_text_that_names_a_file_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").touch()
    handed_over("--with logs,file,other", {"logs": "a.txt", "file": Path("a.txt"), "other": "b.txt"})
    said = capsys.readouterr()
    assert said.err == "`logs` is the text 'a.txt', not the file; pass Path('a.txt') to have that read\n"
    assert said.out == ""
