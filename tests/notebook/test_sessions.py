"""Sessions in the notebook: entered and left by a line, gone on with by every cell, shown wherever they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from fleet_rlm.notebook.current import SESSIONS
from fleet_rlm.notebook.sessions import COMMANDS
from fleet_rlm.notebook.subcommands import subcommand
from tests.sessions.talking import DONE, running, saying
from tests.twins.running import model

from .live_kernel import Kernel

Fleet = Callable[[str], str]


@pytest.fixture
def fleet(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Iterator[Fleet]:
    def said(line: str) -> str:
        capsys.readouterr()
        subcommand(shell, line)
        return capsys.readouterr().out

    yield said
    SESSIONS.leave()


def ask(shell: InteractiveShell, line: str, question: str) -> None:
    shell.run_cell_magic("fleet", line, question)


def test_the_session_that_is_entered_is_at_hand_before_it_was_asked(shell: InteractiveShell, fleet: Fleet) -> None:
    fleet("session new first")
    shell.user_ns["_session"].memory.edit("human", "Ada")
    fleet("session new second")
    assert shell.user_ns["_session"].name == "second"
    fleet("session use first")
    assert "Ada" in shell.user_ns["_session"].memory.text()


def test_cells_go_on_in_the_current_session_until_it_is_left(
    shell: InteractiveShell, fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [*running("kept = len(logs)"), *running("print(kept + 1)"), DONE]
    with model(react_step=steps, react_extract=[saying("first"), saying("second"), saying("third")]) as (server, lm):
        shell.user_ns["logs"] = "abcdef"
        fleet("session new incident")
        ask(shell, f"--with logs -o one --model {lm}", "How long?")
        assert "session incident, turn 1" in capsys.readouterr().out
        ask(shell, f"-o two --model {lm}", "One more?")
        assert "session incident, turn 2" in capsys.readouterr().out
        assert (shell.user_ns["one"], shell.user_ns["two"]) == ("first", "second")
        assert "7" in server.requests[4].text
        assert "How long?" in server.requests[3].text
        assert "* incident" in " ".join(fleet("session list").split())
        assert "One more?" in fleet("session")
        fleet("session close")
        ask(shell, f"--model {lm} --session incident", "And again?")
        assert "session incident, turn 3" in capsys.readouterr().out


def test_a_cell_can_ask_outside_of_the_session(shell: InteractiveShell, fleet: Fleet) -> None:
    with model(direct=saying("bare")) as (_, lm):
        fleet("session new incident")
        ask(shell, f"--no-session --model {lm}", "Alone?")
        assert shell.user_ns["_run"].tree.start.session is None
    assert SESSIONS.current is not None
    assert len(SESSIONS.current.turns) == 0


def test_a_plan_names_the_session_and_what_of_it_would_be_sent(
    shell: InteractiveShell, fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    with model(react_step=[DONE], react_extract=saying("an answer")) as (server, lm):
        fleet("session new incident")
        assert SESSIONS.current is not None
        SESSIONS.current.memory.edit("human", "is called Ada")
        ask(shell, f"--model {lm}", "First?")
        capsys.readouterr()
        ask(shell, f"--plan --model {lm}", "Second?")
        told = capsys.readouterr().out
    assert server.calls == 2
    assert "Session:  incident, 1 earlier turns" in told
    assert "an answer" in told
    assert "is called Ada" in told


def test_sessions_are_renamed_exported_imported_and_deleted_by_lines(fleet: Fleet, tmp_path: Path) -> None:
    fleet("session new incident")
    assert SESSIONS.current is not None
    SESSIONS.current.memory.edit("human", "is called Ada")
    assert "'outage'" in fleet("session rename outage")
    assert str(tmp_path) in fleet(f"session export '{tmp_path / 'my file.zip'}'")
    with pytest.raises(UsageError) as taken:
        fleet(f"session import '{tmp_path / 'my file.zip'}'")
    assert str(taken.value) == (
        "there is a session 'outage' already (it is an export of that very session); "
        "take it in under another name: %fleet session import FILE NAME"
    )
    fleet(f"session import '{tmp_path / 'my file.zip'}' copy")
    assert "is called Ada" in fleet("session show")
    fleet("session use outage")
    fleet("session delete outage")
    assert SESSIONS.current is None
    with pytest.raises(UsageError, match="no session 'outage'"):
        fleet("session use outage")
    assert "copy" in fleet("session list")


def test_switching_closes_the_session_before(fleet: Fleet) -> None:
    fleet("session new one")
    one = SESSIONS.current
    fleet("session new two")
    assert one is not None
    assert "closed" in repr(one)
    fleet("session use one")
    assert SESSIONS.current is not one


def test_looking_at_another_session_leaves_the_current_one_open(fleet: Fleet, tmp_path: Path) -> None:
    fleet("session new first")
    fleet("session new second")
    assert "session  first" in fleet("session show first")
    fleet(f"session export first {tmp_path / 'first.fleet'}")
    fleet("session rename first third")
    assert SESSIONS.current is not None
    assert (SESSIONS.current.name, "third" in fleet("session list")) == ("second", True)


def test_a_run_that_cannot_be_resumed_leaves_the_current_session_open(shell: InteractiveShell, fleet: Fleet) -> None:
    with model(react_step=[DONE], react_extract=[saying("first")]) as (_, lm):
        ask(shell, f"--model {lm} --session one", "How long?")
    fleet("session new two")
    with pytest.raises(UsageError, match="the run has its answer"):
        subcommand(shell, "resume _run")
    assert SESSIONS.current is not None
    assert SESSIONS.current.name == "two"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("session renme x", "did you mean rename"),
        ("session new", "NAME is how it is written"),
        ("session use a b", "NAME is how it is written"),
        ("session rename x", "in no session"),
        ("session show nothing", "no session 'nothing'"),
        ("session delete nothing", "no session 'nothing'"),
        ("session list all", "%fleet session list is how it is written"),
        ("session new --dash", "no option --dash; a name that begins so stands in quotation marks"),
        ("session import nothing.zip", "cannot be imported"),
    ],
)
def test_a_slip_is_one_sentence(fleet: Fleet, line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fleet(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_does_nothing(fleet: Fleet, name: str) -> None:
    assert fleet(f"session {name} --help").startswith(f"%fleet session {name}")
    assert "there is no session yet" in fleet("session list")


def test_a_name_that_looks_like_an_option_is_a_name_in_quotation_marks(fleet: Fleet) -> None:
    assert "new session '--help'" in fleet('session new "--help"')
    assert "deleted" in fleet("session delete '--help'")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_help(fleet: Fleet, name: str) -> None:
    line = next(line for line in fleet("help").splitlines() if line.startswith(f"%fleet session {name} "))
    assert len(line.split(maxsplit=3)[3]) > 8


def test_a_killed_kernels_turn_goes_on_in_another_kernel(tmp_path: Path) -> None:
    from tests.twins.replies import Gate, Reply
    from tests.twins.scripts import react_step

    gate = Gate()
    steps = [react_step("look", "execute_code", code="print(6 * 7)"), Reply(str(DONE), gate=gate), DONE]
    with model(react_step=steps, react_extract=saying("42 it is")) as (server, lm):
        with Kernel(tmp_path, {"FLEET_LM": lm}) as kernel:
            kernel.run("n = 6")
            kernel.run("%fleet session new incident")
            cell = kernel.begin("%%fleet --with n\nWhat is it?")
            kernel.until_widget(cell)
            server.wait_for(2)
            kernel.manager.signal_kernel(9)
        gate.open()
        with Kernel(tmp_path, {"FLEET_LM": lm}) as kernel:
            opened = kernel.run("%fleet session use incident").printed
            assert "was cut off with its kernel" in opened
            assert "%fleet resume " in opened
            cell = kernel.run("%fleet resume -o found")  # the session's, as no run of this kernel is without an answer
            assert cell.succeeded, cell.error
            assert kernel.value("found") == "'42 it is'"
            assert "42 it is" not in kernel.run("%fleet session list").printed
            assert "1 " in kernel.run("%fleet session list").printed
        assert server.calls == 4
