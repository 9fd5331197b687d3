"""The tree in a terminal: one line per span, in order, on a terminal and in a pipe."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from rich.console import Console

from fleet_rlm.cli.live import LINES, TreeInLines, TreeOnTerminal, live
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.run import Run


def written(console: Console) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())  # type: ignore[attr-defined]


def test_the_view_fits_the_console(plain: Console, terminal: Console) -> None:
    run = Run(RunLog("r1"))

    assert isinstance(live(run, plain), TreeInLines)
    assert isinstance(live(run, terminal), TreeOnTerminal)


def test_in_a_pipe_every_span_is_written_once_and_below_its_parent(
    golden_run: Callable[[str], Run], plain: Console
) -> None:
    run = golden_run("auto")
    with live(run, plain):
        pass
    lines = written(plain).splitlines()

    assert len(lines) == len(run.tree.spans)
    depths = [(len(line) - len(line.lstrip())) // 2 for line in lines]
    assert depths[0] == 0
    assert all(deeper <= depth + 1 for depth, deeper in pairwise(depths))


def test_in_a_pipe_lines_come_while_the_run_goes_on(plain: Console) -> None:
    log = RunLog("r1")
    with live(Run(log), plain), log.span("turn", "auto"), log.span("llm", "decide"):
        pass

    assert [line.split()[1] for line in written(plain).splitlines()] == ["turn", "llm"]


def test_on_a_terminal_the_finished_tree_stays(golden_run: Callable[[str], Run], terminal: Console) -> None:
    run = golden_run("auto")
    with live(run, terminal):
        pass
    last = written(terminal).splitlines()[-len(run.tree.spans) :]

    assert last[0].startswith("✓ turn")
    assert [line.split()[0] for line in last].count("✗") == 1


def test_a_tree_too_long_for_the_terminal_is_cut_with_a_note(terminal: Console) -> None:
    log = RunLog("r1")
    with live(Run(log), terminal):
        for _ in range(LINES + 25):
            with log.span("llm", "query"):
                pass

    assert "… 25 more spans, all of them in the report" in written(terminal)


def test_what_a_model_writes_is_not_read_as_markup_of_the_terminal(plain: Console) -> None:
    log = RunLog("r1")
    with live(Run(log), plain), log.span("tool", "[bold red]x[/]"):
        pass

    assert "[bold red]x[/]" in written(plain)
