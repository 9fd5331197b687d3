from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from fleet_rlm.core.events import SpanStart
from fleet_rlm.notebook.arguments import MODES, flags
from fleet_rlm.notebook.goingon import VERBS
from fleet_rlm.notebook.runs import RUNS
from fleet_rlm.notebook.sessions import COMMANDS
from fleet_rlm.notebook.subcommands import OF_A_RUN, PLAIN
from fleet_rlm.sessions.session import Session

from .staged import Staged

Tab = Callable[[str], list[str]]


@pytest.fixture
def tab(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """What Tab offers at the end of a text, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    shell.user_ns.update(logs=[1], late=2)

    def pressed(text: str) -> list[str]:
        with provisionalcompleter():
            return [found.text for found in shell.Completer.completions(text, len(text))]

    return pressed


def test_options(tab: Tab) -> None:
    assert tab("%%fleet --m") == ["--mode", "--model"]
    assert tab("%%fleet --with logs --bu") == ["--budget"]
    assert tab("%%fleet --co") == ["--concurrency"]
    assert set(tab("%%fleet ")) == set(flags())


def test_variables_after_with_and_after_a_comma(tab: Tab) -> None:
    assert tab("%%fleet --with l") == ["late", "logs"]
    assert tab("%%fleet --with late,lo") == ["logs"]
    assert tab("%%fleet --with late, lo") == ["logs"]
    assert tab("%%fleet --with=lo") == ["logs"]


def test_paths_after_with(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "logs_of_may").mkdir()
    (tmp_path / "logs.txt").write_text("")
    assert tab("%%fleet --with lo") == ["logs", "logs.txt", "logs_of_may/"]


def test_values_that_can_be_listed(tab: Tab) -> None:
    assert set(tab("%%fleet --mode ")) == set(MODES)
    assert tab("%%fleet --mode=r") == ["rlm_only"]
    assert tab("%%fleet --sandbox l") == ["local"]
    assert tab("%%fleet -o l") == ["late", "logs"]


def test_models(tab: Tab) -> None:
    assert "fleet/offline" in tab("%%fleet --model fleet/")
    assert "fleet/offline" in tab("%%fleet --sub-model ")


def test_a_number_is_not_guessed(tab: Tab) -> None:
    assert not set(flags()) & set(tab("%%fleet --budget -"))


def test_subcommands_and_runs(tab: Tab) -> None:
    assert set(tab("%fleet ")) == {*PLAIN, *OF_A_RUN, *VERBS, "diff", "session"}
    RUNS.add(Staged("day-1").run)
    assert tab("%fleet show d") == ["day-1"]
    assert tab("%fleet show day-1 --") == ["--sent"]
    assert tab("%fleet stop ") == ["day-1"]
    assert tab("%fleet limit day-1 --") == ["--budget", "--timeout", "--usd"]
    assert "day-1" not in tab("%fleet limit --budget ")
    assert tab("%fleet resume d") == ["day-1"]
    assert {"--prompt", "--code", "--reply", "--model", "--with"} < set(tab("%fleet branch day-1 s4 --"))
    assert "--prompt" not in tab("%fleet resume day-1 --")
    assert "day-1" not in tab("%fleet models ")


def test_spans_of_the_run_that_is_branched_and_what_they_are(tab: Tab, shell: InteractiveShell) -> None:
    run = Staged("day-2").run
    for span, kind, name in (
        ("s1", "turn", "auto"),
        ("s2", "step", "1"),
        ("s3", "llm", "decide"),
        ("s4", "code", "cell"),
    ):
        run.log.emit(SpanStart(span=span, type=kind, name=name))
    RUNS.add(run)
    assert tab("%fleet branch day-2 s") == ["s1", "s3", "s4"], "at a step there is nothing to change"
    shell.user_ns["first"] = run
    assert tab("%fleet branch first s") == ["s1", "s3", "s4"]
    assert tab("%fleet branch --model fleet/offline day-2 s") == ["s1", "s3", "s4"]
    assert {"day-2", "--prompt"} <= set(tab("%fleet branch "))
    assert not {"s1", "day-2"} & set(tab("%fleet branch day-2 s3 "))
    assert "s1" not in tab("%fleet branch never-was s")
    with provisionalcompleter():
        line = "%fleet branch day-2 s3"
        assert [found.type for found in shell.Completer.completions(line, len(line))] == ["llm decide"]


def test_the_question_and_other_cells_are_completed_as_ever(tab: Tab) -> None:
    assert "late" in tab("%%fleet --with logs\nla")
    assert "--mode" not in tab("%%fleet --with logs\n--m")
    assert "--mode" not in tab("%%time --m")


def test_sessions(tab: Tab) -> None:
    assert tab("%fleet session re") == ["rename"]
    assert set(tab("%fleet session ")) == set(COMMANDS)
    Session("incident").close()
    assert tab("%fleet session use ") == ["incident"]
    assert tab("%%fleet --session inc") == ["incident"]
    assert "incident" not in tab("%fleet session use incident ")


def test_functions_after_tools(tab: Tab, shell: InteractiveShell) -> None:
    shell.user_ns.update(lookup_price=len, look=1, Looked=int)
    assert tab("%%fleet --tools look") == ["lookup_price"]
    assert tab("%%fleet --tools a,look") == ["lookup_price"]


def test_names_that_are_several_words_or_look_like_an_option_are_written_in_quotation_marks(tab: Tab) -> None:
    for name in ("two words", "-dash", 'a "b"'):
        Session.new(name).close()
    assert set(tab("%fleet session use ")) == {'"two words"', '"-dash"', "'a \"b\"'"}
    assert '"two words"' in tab("%%fleet --session ")
