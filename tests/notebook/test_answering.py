"""A cell whose run asks: answered by its buttons while it runs, by `%fleet` when it is detached, refused where nobody
could."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.notebook.live_kernel import SECONDS, Cell, Kernel
from tests.twins.lm_server import LMServer
from tests.twins.scripts import Prompt, answer, by_role, react_step


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    def step(prompt: Prompt) -> str:
        if "observation_0" in prompt.user:
            return react_step("done", "finish")
        return react_step("keep it", "write_buffer", name="findings", text="one")

    with LMServer(by_role(react_step=step, react_extract=answer(reasoning="-", answer="kept"))) as server:
        environ = {"FLEET_LM": f"m@{server.base_url}"}
        with Kernel(tmp_path_factory.mktemp("answering"), environ) as kernel:
            yield kernel


def asked_by(kernel: Kernel) -> Iterator[dict[str, Any]]:
    """The questions that a widget tells its page."""
    while True:
        message = kernel.client.get_iopub_msg(timeout=SECONDS)
        told = message["content"].get("data", {}) if message["msg_type"] == "comm_msg" else {}
        for item in told.get("content", {}).get("items", ()):
            if item["kind"] == "approval.ask":
                yield item


@pytest.mark.parametrize("word", ["once", "no"])
def test_the_buttons_answer_in_the_middle_of_the_cell(kernel: Kernel, word: str) -> None:
    cell = kernel.begin(f"%%fleet --session buttons-{word} --approve ask\nKeep it")
    widget = kernel.until_widget(cell)
    asked = next(asked_by(kernel))
    assert asked["question"] == "Write to the buffer findings?"
    said = {"v": 1, "t": "approve", "id": "r", "ask": asked["seq"], "answer": word, "note": "not now"}
    kernel.press(widget, said)
    assert kernel.end(cell).succeeded
    names = {"findings": 1} if word == "once" else {}
    assert kernel.value("_run.status, _session.buffers.names()") == repr(("ok", names))
    told = kernel.value("[span.output for span in _run.tree.spans.values() if span.name == 'write_buffer'][0]")
    assert ("declined: not now" in told) == (word == "no")


def test_a_detached_run_is_answered_by_a_line(kernel: Kernel) -> None:
    for line, said, names in [
        ("approve --always", "Write to the buffer findings? yes, always (run ", {"findings": 1}),
        ("deny --note 'in the log'", "Write to the buffer findings? no (run ", {"findings": 1}),
    ]:
        kernel.run("%%fleet --session lines --approve ask --detach\nKeep it")
        waiting = "from tests.agent.people import until_asked; ask, = until_asked(_run)"
        assert kernel.run(waiting).succeeded
        assert "Write to the buffer findings? (%fleet approve, %fleet deny)" in kernel.run("%fleet status").printed
        assert kernel.run(f"%fleet {line}").printed.startswith(said)
        assert kernel.value("_run.wait().status, _session.buffers.names()") == repr(("ok", names))
    assert kernel.run("%fleet approve").complained.strip() == "UsageError: no run is waiting for an answer"


@pytest.mark.parametrize(
    ("source", "stdin", "said"),
    [
        ("%%time\n%%fleet --approve ask\nKeep it", True, "give %%fleet a cell of its own"),
        ("%%fleet --approve edits --quiet\nKeep it", True, "leave --quiet out"),
        ("%%fleet --approve ask\nKeep it", False, "a program executes this notebook"),
        ("%%fleet --approve maybe\nKeep it", True, "--approve maybe: choose one of auto, edits, ask"),
    ],
)
def test_what_nobody_could_answer_is_refused_at_the_start(kernel: Kernel, source: str, stdin: bool, said: str) -> None:
    cell = kernel.end(Cell(kernel.client.execute(source, allow_stdin=stdin)))
    assert said in cell.complained + str(cell.error)
    assert "--detach" in cell.complained + str(cell.error) or "choose one" in said


def test_a_run_that_asks_is_gone_on_with_where_somebody_can_answer_only(kernel: Kernel) -> None:
    kernel.run("%%fleet --session later --approve ask --detach\nKeep it")
    kernel.run("from tests.agent.people import until_asked; until_asked(_run); _run.stop()\n_run.wait()")
    refused = kernel.end(Cell(kernel.client.execute("%fleet resume", allow_stdin=False)))
    assert "a program executes this notebook" in refused.complained + str(refused.error)
    cell = kernel.begin("%fleet resume")
    widget = kernel.until_widget(cell)
    before, asked = itertools.islice(asked_by(kernel), 2)
    assert before["question"] == asked["question"]
    kernel.press(widget, {"v": 1, "t": "approve", "id": "r", "ask": asked["seq"], "answer": "once"})
    assert kernel.end(cell).succeeded
    assert kernel.value("_session.buffers.names()") == repr({"findings": 1})
