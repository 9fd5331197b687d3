from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from fleet_rlm.notebook.runs import KernelRuns

from .staged import Staged


def test_a_run_is_found_by_id_by_its_beginning_and_by_variable() -> None:
    runs = KernelRuns()
    one, two, apart = Staged("day-aa").run, Staged("day-ab").run, Staged("elsewhere").run
    runs.add(one)
    runs.add(two)
    assert runs.find("day-aa", {}) is one
    assert runs.find("day-ab", {}) is two
    assert runs.find("", {}) is two
    assert runs.find("kept", {"kept": apart}) is apart
    with pytest.raises(UsageError, match="beginning of several runs: day-aa, day-ab"):
        runs.find("day", {})


def test_an_unknown_run_is_answered_with_the_close_ones() -> None:
    runs = KernelRuns()
    with pytest.raises(UsageError, match="no run has been started in this kernel yet"):
        runs.find("", {})
    runs.add(Staged("day-aa").run)
    with pytest.raises(UsageError, match="has no run 'dya-aa'; did you mean day-aa"):
        runs.find("dya-aa", {})


def test_the_oldest_ended_runs_are_forgotten_and_no_running_one() -> None:
    runs = KernelRuns(limit=2)
    running, ended = Staged("r0"), [Staged(f"r{number}") for number in (1, 2)]
    for each in (running, *ended):
        runs.add(each.run)
    assert [run.id for run in runs.all()] == ["r0", "r1", "r2"], "none has ended yet"
    for each in ended:
        each.succeed("yes")
    runs.add(Staged("r3").run)
    assert [run.id for run in runs.all()] == ["r0", "r3"]
    assert [run.id for run in runs.running()] == ["r0", "r3"]
