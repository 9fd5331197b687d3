"""Sessions in a terminal: asked in, chatted with, listed, and gone on with after Ctrl-C."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.cli.asking import console
from fleet_rlm.cli.main import main
from tests.sessions.talking import DONE, running, saying
from tests.twins.replies import refused_key
from tests.twins.running import model


def test_questions_of_several_commands_are_one_conversation(capsys: pytest.CaptureFixture[str]) -> None:
    with model(react_step=[DONE, DONE], react_extract=[saying("first"), saying("second")]) as (server, lm):
        assert main(["run", "One?", "--session", "incident", "--model", lm, "--quiet"]) == 0
        assert main(["run", "Two?", "--session", "incident", "--model", lm, "--quiet"]) == 0
        assert "first" in server.requests[2].text
        capsys.readouterr()
        assert main(["run", "Three?", "--session", "incident", "--model", lm, "--plan"]) == 0
    assert "Session:  incident, 2 earlier turns" in capsys.readouterr().out
    assert main(["sessions"]) == 0
    assert "2 turns  incident" in capsys.readouterr().out


def test_a_chat_asks_loads_and_tells_until_its_input_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "report.md").write_text("the magic number is 7481\n")
    lines = ["", "/help", f"/load {tmp_path / 'report.md'}", "What is it?", "/turns", "/load /no/such", "/memory"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    with model(react_step=running("print(report[-5:])"), react_extract=saying("it is 7481")) as (server, lm):
        assert main(["chat", "--session", "incident", "--model", lm, "--quiet"]) == 0
        assert "7481" in server.requests[1].text
    told = capsys.readouterr()
    for text in ("/quit", "loaded report: markdown", "it is 7481", "ok         What is it?", "persona (0 of 2,000"):
        assert text in told.out
    assert "/no/such" in told.err


def test_what_a_run_warns_of_is_told_on_standard_error(capsys: pytest.CaptureFixture[str], fleet_home: Path) -> None:
    fleet_home.mkdir()
    (fleet_home / "fleet.db").write_text("no database" * 100)
    assert main(["db", "check"]) == 1  # which loads the store, so that the fault is found while the run goes on
    with model(react_step=DONE, react_extract=saying("first")) as (_, lm):
        assert main(["run", "One?", "--session", "incident", "--model", lm, "--quiet"]) == 0
    told = capsys.readouterr()
    assert "note: the session's rows are not in the store" in told.err
    assert "first" in told.out


def test_a_place_in_a_file_is_not_taken_for_an_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("_pyio.py:100: here", markup=False, highlight=False)
    assert "_pyio.py:100: here" in capsys.readouterr().out


def test_a_failed_turn_goes_on_in_its_session(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [*running("print(6 * 7)")[:1], refused_key(), DONE]
    with model(react_step=steps, react_extract=saying("42")) as (_, lm):
        assert main(["run", "What?", "--session", "incident", "--model", lm, "--quiet"]) == 1
        with fleet.Session("incident") as session:
            run = session.turns[0].run
        assert run is not None
        assert main(["resume", run, "--quiet"]) == 0
    with fleet.Session("incident") as session:
        assert [(turn.status, turn.answer) for turn in session.turns] == [("ok", "42")]
