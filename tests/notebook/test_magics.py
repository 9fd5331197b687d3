"""The magics in a terminal's IPython: what a user reads after a slip, and a whole run in the blocking form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

Run = Callable[[str], tuple[bool, str, str]]


@pytest.fixture
def cell(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a cell: whether it succeeded, what it printed, what it said on stderr."""
    monkeypatch.setenv("FLEET_LM", "fleet/offline")
    shell.user_ns.update(logs="alpha\nbeta\nalpha", deploys=[1])

    def ran(source: str) -> tuple[bool, str, str]:
        capsys.readouterr()
        result = shell.run_cell(source)
        captured = capsys.readouterr()
        return result.success, captured.out, captured.err

    return ran


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%%fleet", "the question is missing"),
        ("%%fleet --budget 3\n  \n", "the question is missing"),
        ("%%fleet Which deploy broke?", "the question goes on the lines below it"),
        ("%%fleet What's wrong?", "the question itself goes on the lines below it"),
        ("%%fleet --with lgos\nwhy?", "did you mean logs?"),
        ("%%fleet --bugdet 3\nwhy?", "did you mean --budget?"),
        ("%%fleet --mode derect\nwhy?", "did you mean direct?"),
        ("%%fleet\nwhy {{lgos}}?", "did you mean logs?"),
        ("%%fleet --model fleet/ofline\nwhy?", "fleet/offline"),
        ("%%fleet --with prompt=logs\nwhy?", "rename the variable"),
        ("%%fleet --with '/no/such/file'\nwhy?", "no file or directory"),
        ("%fleet rusn", "did you mean runs?"),
        ("%fleet show nothing", "there is no run 'nothing'"),
        ("%fleet resume nothing", "there is no run 'nothing'"),
        ("%fleet branch nothing", "takes a run and a span: RUN SPAN"),
        ("%fleet resume a b", "takes one run"),
        ("%fleet resume --budgt 3", "did you mean --budget"),
        ("%fleet diff one", "takes two runs"),
        ("%fleet stop", "no run is going on"),
        ("%fleet models all", "stands alone"),
    ],
)
def test_a_slip_is_one_usage_error(cell: Run, source: str, said: str) -> None:
    success, printed, complained = cell(source)
    assert not success
    assert complained.startswith("UsageError: ")
    assert said in complained
    assert complained.count("\n") == 1
    assert "Traceback" not in printed + complained


def test_help_is_printed_with_or_without_a_body(cell: Run) -> None:
    for source in ("%%fleet -h", "%%fleet --help\nwhatever"):
        success, printed, _ = cell(source)
        assert success
        assert "--budget N" in printed


def test_the_docstring_is_the_help(shell: InteractiveShell) -> None:
    found = shell.object_inspect("%%fleet")
    assert "--budget N" in found["docstring"]


def test_a_run_binds_its_names_and_prints_its_end(cell: Run, shell: InteractiveShell) -> None:
    success, printed, _ = cell("%%fleet --with logs -o lines\nHow many lines mention alpha?")
    assert success
    run = shell.user_ns["_run"]
    assert run.status == "ok"
    assert shell.user_ns["lines"] == run.answer
    assert str(run.answer).splitlines()[0] in printed


def test_quiet_prints_the_answer_only(cell: Run, shell: InteractiveShell) -> None:
    _, printed, complained = cell("%%fleet --with logs --quiet\nHow many lines mention alpha?")
    assert printed.strip() == str(shell.user_ns["_run"].answer).strip()
    assert complained == ""


def test_braces_are_filled_in_before_the_question_is_asked(cell: Run, shell: InteractiveShell) -> None:
    shell.user_ns["word"] = "alpha"
    cell("%%fleet --with logs\nHow many lines mention {{word}}?")
    assert shell.user_ns["_run"].task == "How many lines mention alpha?"


def test_a_plan_calls_no_model_and_binds_nothing(cell: Run, shell: InteractiveShell) -> None:
    success, printed, _ = cell("%%fleet --with logs --plan\nHow many lines mention alpha?")
    assert success
    assert printed.startswith("%%fleet --with logs --plan\n")
    assert "How many lines mention alpha?" in printed
    assert "_run" not in shell.user_ns


def test_a_directory_is_a_context(cell: Run, shell: InteractiveShell, tmp_path: Path) -> None:
    for name, text in (("a.txt", "alpha\n"), ("b.txt", "beta\n")):
        (tmp_path / name).write_text(text)
    success, *_ = cell(f"%%fleet --with texts='{tmp_path}'\nWhich files mention beta?")
    assert success
    assert "b.txt" in str(shell.user_ns["_run"].answer)


def test_runs_can_be_listed_shown_and_read_in_full(cell: Run, shell: InteractiveShell) -> None:
    cell("%%fleet --with logs\nHow many lines mention alpha?")
    run = shell.user_ns["_run"]
    assert run.id in cell("%fleet runs")[1]
    assert run.id in cell("%fleet status")[1]
    assert str(run.answer).splitlines()[0] in cell(f"%fleet show {run.id[:8]}")[1]
    assert "How many lines mention alpha?" in cell("%fleet show _run --sent")[1]
    assert f"run {run.id} has already ended: ok" in cell(f"%fleet stop {run.id}")[1]


def test_settings_can_be_read(cell: Run) -> None:
    assert "fleet/offline" in cell("%fleet models")[1]
    assert "FLEET_HOME" in cell("%fleet config")[1]
    assert "python" in cell("%fleet doctor")[1].lower()
    assert "%fleet stop" in cell("%fleet")[1]
