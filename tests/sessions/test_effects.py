"""What a turn's tools do to the session is done once, however often and wherever the turn goes on."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import ModelError
from tests.sessions.talking import DONE, kernel, saying
from tests.twins.replies import Gate, Reply, refused_key
from tests.twins.running import model
from tests.twins.scripts import react_step

NOTE = react_step("collect", "write_buffer", name="found", text="line 7")
CLEAR = react_step("begin anew", "clear_buffer", name="old")
KEEP = react_step("remember", "edit_core_memory", section="human", content="Ada")


def state_of(session: fleet.Session) -> dict[str, Any]:
    return {"buffers": session.buffers.state(), "human": session.memory.sections["human"]}


def test_what_tools_changed_is_changed_once_where_the_turn_goes_on_in_the_same_process() -> None:
    with model(react_step=[NOTE, KEEP, CLEAR, refused_key(), DONE], react_extract=saying()) as (_, lm):
        with fleet.Session("incident") as session:
            session.buffers.write("old", ["x"])
            with pytest.raises(ModelError) as caught:
                session.ask("First?", lm=lm)
            session.buffers.write("old", ["the user's own, of later"])
            session.resume(caught.value.run).wait()
            assert state_of(session) == {
                "buffers": {"found": ["line 7"], "old": ["the user's own, of later"]},
                "human": "Ada",
            }


def test_the_same_call_in_two_turns_or_two_steps_is_two_changes() -> None:
    with model(react_step=[NOTE, NOTE, DONE, NOTE, DONE], react_extract=saying()) as (_, lm):
        with fleet.Session("incident") as session:
            session.ask("First?", lm=lm)
            session.ask("Second?", lm=lm)
            assert session.buffers.read("found") == ["line 7"] * 3


def test_a_branch_does_not_repeat_what_its_past_has_changed() -> None:
    with model(react_step=[NOTE, KEEP, DONE, NOTE, DONE], react_extract=saying()) as (_, lm):
        with fleet.Session("incident") as session:
            run = session.ask("First?", lm=lm)
            last = [span.id for span in run.tree.spans.values() if span.type == "llm"][2]
            again = session.branch(run, last, reply=str(NOTE)).wait()
            assert state_of(session) == {"buffers": {"found": ["line 7"] * 3}, "human": "Ada"}
            assert again.status == "ok"


@pytest.mark.parametrize("is_saved_meanwhile", [False, True])
def test_what_tools_changed_is_changed_once_where_the_kernel_was_killed(
    is_saved_meanwhile: bool, tmp_path: Path
) -> None:
    gate, done = Gate(), tmp_path / "saved"
    third = "sum(span.type == 'llm' for span in list(run.tree.spans.values())) < 3"
    saving = (
        f"import time\nrun = s.start('First?', lm=sys.argv[1])\nwhile {third}: time.sleep(0.01)\n"
        f"{'s.save()' if is_saved_meanwhile else ''}\npathlib.Path({str(done)!r}).touch()\nrun.wait()\n"
    )
    steps = [NOTE, KEEP, Reply("never", gate=gate), DONE]
    with model(react_step=steps, react_extract=saying()) as (server, lm):
        process = kernel(f"s = Session('incident')\n{saving}", lm)
        server.wait_for(3)
        while not done.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        gate.open()
        with fleet.Session("incident") as session:
            session.resume(session.turns[-1].run).wait()
            assert state_of(session) == {"buffers": {"found": ["line 7"]}, "human": "Ada"}
