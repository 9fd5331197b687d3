"""What is written after `fleet` reaches the engine under its own names, and slips of the pen are told."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from fleet_rlm.cli.main import COMMANDS
from fleet_rlm.cli.options import changes, engine, parser
from fleet_rlm.core.budget import Budget
from fleet_rlm.core.errors import UserError


def read(*words: str) -> argparse.Namespace:
    commands = dict.fromkeys(COMMANDS, lambda args: 0)
    return parser(commands).parse_args(words)  # type: ignore[no-any-return]


def test_every_option_of_a_run_reaches_the_engine() -> None:
    tape = ["--record", "r.jsonl"]
    models = ["--model", "a/b", "--sub-model", "c/d"]
    limits = ["--budget", "7", "--usd", "0.5", "--timeout", "30", "--depth", "1", "--concurrency", "3"]

    assert engine(read("run", "why?", *models, *limits, "--mode", "rlm_only", "--sandbox", "process", *tape)) == {
        "lm": "a/b",
        "sub_lm": "c/d",
        "budget": Budget(calls=7, usd=0.5),
        "timeout": 30.0,
        "depth": 1,
        "concurrency": 3,
        "mode": "rlm_only",
        "sandbox": "process",
        "record": "r.jsonl",
    }


def test_what_is_not_written_keeps_the_engines_default() -> None:
    assert engine(read("run", "why?")) == {}
    assert engine(read("demo")) == {}


def test_what_a_run_goes_on_with_reaches_the_engine() -> None:
    written = read("branch", "day-1", "s4", "--reply", "42", "--model", "a/b", "--budget", "9", "--timeout", "5")
    assert (written.run, written.span) == ("day-1", "s4")
    assert changes(written) == {"reply": "42", "lm": "a/b", "budget": 9, "timeout": 5.0}
    assert changes(read("resume", "day-1", "--sub-model", "c/d")) == {"sub_lm": "c/d"}


def test_a_limit_in_dollars_leaves_the_other_limits_alone() -> None:
    assert engine(read("run", "why?", "--usd", "2"))["budget"] == Budget(usd=2.0)


def test_an_impossible_budget_is_told_as_the_engine_tells_it() -> None:
    with pytest.raises(UserError, match="calls must be a whole number of at least 1"):
        engine(read("run", "why?", "--budget", "0"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "why?", "--bugdet", "3"], "did you mean --budget?"),
        (["run", "why?", "--budget", "many"], "invalid int value: 'many'"),
        (["run"], "the following arguments are required: question"),
        (["rnu", "why?"], "invalid choice: 'rnu'"),
        (["demo", "--question", "4"], "invalid choice: 4"),
        (["run", "why?", "extra"], "'extra' is not understood"),
    ],
)
def test_a_slip_of_the_pen_is_told_with_the_way_out(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        read(*words)

    assert end.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert "--help" in told
    assert len(told.splitlines()) == 2


def test_paths_are_paths() -> None:
    assert read("show", "a.jsonl", "--html", "b.html").html == Path("b.html")


def test_the_help_says_what_each_depth_allows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        read("run", "--help")

    told = " ".join(capsys.readouterr().out.split())
    assert "0 allows no sub-calls, 1 sub-queries (llm_query), 2 (the default) sub-RLMs too" in told
