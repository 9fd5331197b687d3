"""The views of a terminal; those of a notebook are seen in `test_kernel`."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from fleet_rlm.notebook.show import view_for

from .staged import Staged


def test_a_terminal_gets_a_line_for_each_span_that_ends_and_then_the_answer(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Staged()
    view = view_for(shell, quiet=False, detached=False)
    view.begin(stage.run)
    with stage.run.log.span("turn", "direct"), stage.run.log.span("llm", "the first call"):
        pass
    view.end(stage.succeed("42 is the answer"))
    captured = capsys.readouterr()
    assert [line.split()[1] for line in captured.err.splitlines()] == ["llm", "turn"]
    assert "the first call" in captured.err
    assert "42 is the answer" in captured.out


@pytest.mark.parametrize("quiet", [True, False])
def test_a_detached_run_in_a_terminal_says_how_to_get_at_it_and_does_not_disturb_later(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    stage = Staged("r7")
    view = view_for(shell, quiet=quiet, detached=True)
    view.begin(stage.run)
    assert "%fleet show r7" in capsys.readouterr().out
    view.end(stage.succeed("42"))
    assert capsys.readouterr() == ("", "")


def test_a_run_without_an_answer_leaves_a_quiet_cell_empty(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Staged()
    view = view_for(shell, quiet=True, detached=False)
    view.begin(stage.run)
    view.end(stage.fail(RuntimeError("no")))
    assert capsys.readouterr() == ("", "")
