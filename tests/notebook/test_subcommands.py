"""`%fleet` lines on runs that a test has staged; on real runs in `test_magics` and `test_kernel`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from fleet_rlm.core.errors import ModelError
from fleet_rlm.notebook.goingon import VERBS
from fleet_rlm.notebook.runs import RUNS
from fleet_rlm.notebook.subcommands import OF_A_RUN, PLAIN, subcommand
from fleet_rlm.notebook.tables import table

from .staged import Staged


@pytest.fixture
def fleet(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    def said(line: str) -> str:
        capsys.readouterr()
        subcommand(shell, line)
        return capsys.readouterr().out

    return said


def test_stop_without_a_name_stops_the_only_run_that_goes_on(fleet: Callable[[str], str]) -> None:
    going, over = Staged("going"), Staged("over")
    RUNS.add(going.run)
    RUNS.add(over.succeed("42"))
    assert fleet("stop") == "run going is told to stop\n"
    assert going.run.status == "stopped"
    with pytest.raises(UsageError, match="no run is going on"):
        fleet("stop")
    assert fleet("stop over") == "run over has already ended: ok\n"


def test_status_tells_why_a_run_failed_and_nothing_unknown_as_zero(fleet: Callable[[str], str]) -> None:
    RUNS.add(Staged("r1").fail(ModelError("the key was refused")))
    told = dict(line.split(maxsplit=1) for line in fleet("status").splitlines())
    assert told["status"] == "failed"
    assert told["error"] == "the key was refused"
    assert told["spent"] == "0 calls, 0.0 s, unknown tokens, unknown USD"
    assert told["left"] == "no limits"
    assert told["sandbox"] == "none started"


def test_a_long_question_is_one_line_in_the_table(fleet: Callable[[str], str]) -> None:
    RUNS.add(Staged("r1", task="what is\n" + "very " * 30 + "long?").run)
    heading, row = fleet("runs").splitlines()
    assert heading.split() == ["run", "status", "calls", "seconds", "task"]
    assert row.split()[:4] == ["r1", "running", "0", "0.0"]


@pytest.mark.parametrize("name", [*PLAIN, *OF_A_RUN])
def test_every_subcommand_is_in_the_help(fleet: Callable[[str], str], name: str) -> None:
    line = next(line for line in fleet("help").splitlines() if line.startswith(f"%fleet {name} "))
    assert len(line.split(maxsplit=2)[2]) > 8


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("show one two", "%fleet show takes one run, not 'one two'"),
        ("stop --sent", "%fleet stop has no option --sent"),
        ("show --sent=no", "--sent takes no value"),
        ("limit r1", "%fleet limit needs a new limit: --budget, --usd, --timeout"),
        ("limit r1 --bugdet 3", "%fleet limit has no option --bugdet; did you mean --budget?"),
        ("limit r1 --depth 3", "%fleet limit has no option --depth"),
        ("limit r1 --budget none", "--budget needs a whole number of at least 1, not 'none'"),
        ("limit r1 --budget", "--budget needs a value: --budget N"),
        ("limit --budget 3", "several runs are going on, say which: r1, r2"),
        ("config now", "%fleet config stands alone, without 'now'"),
        ("why is it slow", "a question goes below %%fleet"),
    ],
)
def test_a_slip_is_said(fleet: Callable[[str], str], line: str, said: str) -> None:
    RUNS.add(Staged("r1").run)
    RUNS.add(Staged("r2").run)
    with pytest.raises(UsageError) as caught:
        fleet(line)
    assert said in str(caught.value)


def test_columns_are_aligned() -> None:
    assert table([["a", "b"], ["long", "c"]]) == "a     b\nlong  c"


def test_limit_without_a_name_changes_the_only_run_that_goes_on(fleet: Callable[[str], str]) -> None:
    going, over, asked = Staged("going"), Staged("over"), []
    going.run.attach(going.future, going.run.stop, lambda span, **limits: asked.append((span, limits)))
    RUNS.add(going.run)
    RUNS.add(over.succeed("42"))
    assert fleet("limit --budget 40 --usd 0.5 --timeout 90") == "run going has left: no limits\n"
    assert asked == [(None, {"calls": 40, "usd": 0.5, "seconds": 90.0})]
    with pytest.raises(UsageError, match="has ended"):
        fleet("limit over --budget 40")


@pytest.mark.parametrize("name", [*OF_A_RUN, *VERBS, *PLAIN, "diff", "session"])
def test_every_subcommand_explains_itself(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    subcommand(shell, f"{name} --help")
    assert capsys.readouterr().out.startswith(f"%fleet {name}")
