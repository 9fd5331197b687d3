"""What a run asks in a terminal, answered at a real one; and the refusal where there is none."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.cli.main import main
from tests.agent.people import until_asked
from tests.twins.running import model
from tests.twins.scripts import answer, react_step

ROOT = Path(__file__).parents[2]
STEPS = [
    react_step("keep it", "write_buffer", name="findings", text="one"),
    react_step("start over", "clear_buffer", name="findings"),
    react_step("done", "finish"),
]
ANSWER = answer(reasoning="-", answer="forty-two")


def at_a_terminal(arguments: list[str], lines: list[str]) -> tuple[int, str]:
    """Exit code and screen of `fleet` with somebody who types the next line at each prompt."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "fleet_rlm.cli", *arguments]
    started = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, start_new_session=True)
    os.close(slave)
    seen, typed = b"", 0
    while True:
        try:
            seen += os.read(master, 65_536)
        except OSError:  # the program has closed its end
            break
        while typed < min(seen.count(b"and why: "), len(lines)):
            os.write(master, lines[typed].encode() + b"\n")
            typed += 1
    os.close(master)
    return started.wait(30), seen.decode()


def test_the_user_is_asked_in_the_terminal_and_the_run_goes_on_as_answered() -> None:
    with model(react_step=STEPS, react_extract=ANSWER) as (server, lm):
        asking = ["run", "What now?", "--session", "s", "--approve", "ask", "--model", lm]
        code, screen = at_a_terminal(asking, ["maybe", "y", "n, it is needed"])
        assert "clear_buffer was not used, for the user declined: it is needed" in server.requests[2].text
    assert code == 0, screen
    assert "? Write to the buffer findings?" in screen
    assert 'write_buffer {"name": "findings", "text": "one"}' in screen
    assert "y, a, or n and what it should do instead" in screen
    assert "forty-two" in screen
    with fleet.Session("s") as session:
        assert session.buffers.read("findings") == ["one"]


@pytest.mark.parametrize("command", [["run", "What now?", "--session", "s"], ["chat"]])
def test_where_no_terminal_is_a_run_that_could_ask_is_refused(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with model() as (server, lm):
        assert main([*command, "--approve", "edits", "--model", lm]) == 2
    assert "--approve edits asks in the terminal, and there is none to ask in" in capsys.readouterr().err
    assert server.calls == 0


def test_a_run_that_asks_is_resumed_without_a_terminal_only_if_nothing_asks_any_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with model(react_step=STEPS, react_extract=ANSWER) as (_, lm):
        with fleet.Session("s") as session:
            run = session.start("What now?", lm=lm, approve="ask")
            until_asked(run)
            run.stop()
            with pytest.raises(fleet.RunStopped):
                run.wait()
        assert main(["resume", run.id]) == 2
        assert "there is none to ask in" in capsys.readouterr().err
        assert main(["resume", run.id, "--approve", "auto", "--quiet"]) == 0
    assert capsys.readouterr().out.strip().endswith("forty-two")
