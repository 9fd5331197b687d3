"""What is printed when a run is over says everything the issue asks for, and nothing that is not known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from fleet_rlm.cli.outcome import as_json, print_outcome
from fleet_rlm.core.run import Run


def printed(run: Run, console: Console, **told: object) -> str:
    print_outcome(run, console, report=Path("report.html"), **told)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_answer_spending_isolation_spans_and_report_are_printed(
    golden_run: Callable[[str], Run], plain: Console
) -> None:
    run = golden_run("auto")
    text = printed(run, plain, data="96 MB in 2 tables")

    for said in (
        f"answer by {run.tree.start and run.tree.start.model}",
        "412 per minute",
        "9 of 40",
        "96 MB in 2 tables",
        "seccomp: no sockets",
        f"run.spans().head() of 25 rows x {len(run.spans().columns)} columns",
        "delegate_to_rlm",
        "report  report.html",
    ):
        assert said in text


def test_a_run_without_answer_says_why(golden_run: Callable[[str], Run], plain: Console) -> None:
    assert "failed: The model refused the key (401). Set OPENAI_API_KEY" in printed(golden_run("failed"), plain)


def test_the_stand_in_is_named_as_one(golden_run: Callable[[str], Run], plain: Console) -> None:
    text = printed(golden_run("exhausted"), plain)

    assert "answer by fleet/offline (rule-based stand-in, not a language model)" in text
    assert "budget used up: " in text
    assert re.search(r"^ *cost +unknown", text, re.MULTILINE)


def test_json_is_one_object_with_null_for_what_is_not_known(golden_run: Callable[[str], Run]) -> None:
    told = json.loads(as_json(golden_run("failed"), None))

    assert told["status"] == "failed"
    assert told["answer"] is None
    assert told["usage"]["cost_usd"] is None
    assert told["report"] is None
