"""`fleet` end to end: a question over a file, its exit codes, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_rlm.cli.main import main
from fleet_rlm.core.run import Run
from tests.twins.lm_server import LMServer
from tests.twins.replies import Reply, refused_key

ROOT = Path(__file__).parents[2]


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada,\nthe harbour of Lisbon is open.\n" * 2_000)
    return path


def test_a_question_over_a_file_is_answered_and_reported(
    letter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"

    code = main(["run", "How many lines mention 'Lisbon'?", "--with", str(letter), "--html", str(report)])

    told = capsys.readouterr().out
    assert code == 0
    assert re.search(r"\b2,?000\b", told)
    assert "rule-based stand-in, not a language model" in told
    assert "run.spans().head()" in told
    assert "Lisbon" in report.read_text("utf-8")


def test_json_names_the_log_that_show_reads_back(letter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "How many lines mention 'Lisbon'?", "--with", str(letter), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert told["status"] == "ok"
    assert told["offline"] is True
    assert main(["show", told["log"]]) == 0
    assert re.search(r"\b2,?000\b", capsys.readouterr().out)
    assert Run.from_jsonl(told["log"]).answer == told["answer"]


def test_quiet_prints_the_answer_alone(letter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "How many lines mention 'Lisbon'?", "--with", str(letter), "--quiet"]) == 0

    told = capsys.readouterr().out
    assert told.startswith("answer by fleet/offline")
    assert "spans" not in told


def test_a_plan_calls_no_model_and_leaves_no_run(
    letter: Path, fleet_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "How many lines mention 'Lisbon'?", "--with", str(letter), "--plan"]) == 0

    assert "letter" in capsys.readouterr().out
    assert not (fleet_home / "runs").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", " "], 2, "the question is empty"),
        (["run", "q", "--with", "no-such-file"], 2, "there is no file or directory 'no-such-file'"),
        (["run", "q", "--sandbox", "lokal"], 2, "did you mean 'local'?"),
        (["show", "no-such.jsonl"], 2, "there is no run 'no-such.jsonl'"),
        (["resume", "yesterday"], 2, "there is no run 'yesterday'"),
        (["branch", "yesterday"], 2, "the following arguments are required: span"),
        (["run", "q", "--model", "openai/gpt-5-mini"], 2, "OPENAI_API_KEY"),
        (["run", "q", "--model", "fleet/ofline"], 2, "fleet/offline"),
        (["run", "q", "--concurrency", "0"], 2, "concurrency must be a whole number of at least 1"),
        (["nonsense"], 2, "invalid choice"),
    ],
)
def test_mistakes_are_one_sentence_and_an_exit_code(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code

    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_report_that_cannot_be_written_is_told(
    golden: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(golden("auto")), "--html", str(tmp_path / "no" / "where.html")]) == 2

    assert "the report cannot be written to" in capsys.readouterr().err


def test_ctrl_c_stops_the_run_and_says_where_its_trace_is(letter: Path, fleet_home: Path) -> None:
    def slow(request: object, index: int) -> Reply:
        return Reply("late", delay=600)

    with LMServer(slow) as server:
        model = f"openai/test@{server.base_url}"
        process = subprocess.Popen(
            [sys.executable, "-m", "fleet_rlm.cli", "run", "what is it?", "--with", str(letter), "--model", model],
            cwd=ROOT,
            env={**os.environ, "FLEET_HOME": str(fleet_home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        server.wait_for(calls=1, timeout=60)
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=30)

    assert process.returncode == 130, errors
    assert "stopped" in told
    log = re.search(r"^log +(.+)$", told, re.MULTILINE)
    assert log is not None
    assert Run.from_jsonl(log[1]).status == "stopped"
    assert "Traceback" not in errors


@pytest.mark.parametrize("words", ["models", "show tests/golden/auto.jsonl"])
def test_a_reader_that_leaves_the_pipe_gets_no_traceback(words: str) -> None:
    command = f"{sys.executable} -m fleet_rlm.cli {words} | true"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stderr == ""


def test_help_and_version_start_at_once_and_load_nothing_heavy() -> None:
    code = "import sys; from fleet_rlm.cli.main import main; main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert re.match(r"fleet-rlm \d", done.stdout)
    assert not {"dspy", "pandas", "rich", "IPython", "litellm"} & set(done.stdout.split())


def test_a_model_that_refuses_the_run_is_no_slip(letter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LMServer(lambda request, index: refused_key()) as server:
        code = main(["run", "what is it?", "--with", str(letter), "--model", f"test@{server.base_url}", "--quiet"])

    assert code == 1
    assert "failed" in capsys.readouterr().out
