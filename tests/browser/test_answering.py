"""A run that asks, in a real JupyterLab: the question in the cell, its buttons in mid-cell, a note that is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.page import Notebook
from tests.twins.lm_server import LMServer
from tests.twins.scripts import answer, by_role, react_step

LOAD, ASK, NEXT = 0, 1, 2


@pytest.fixture
def server() -> Iterator[LMServer]:
    steps = [
        react_step("The handbook may tell who was on call.", "load_document", path="https://example.com/handbook.html"),
        react_step("I keep what I know.", "write_buffer", name="findings", text="Ada was on call.\nShe said so."),
        react_step("That is all.", "finish"),
    ]
    with LMServer(by_role(react_step=steps, react_extract=answer(reasoning="-", answer="Ada"))) as server:
        yield server


def test_a_question_is_declined_with_a_note_and_another_allowed_while_the_cell_runs(
    lab: Lab, server: LMServer, open_notebook: Callable[[str], Notebook]
) -> None:
    cells = [
        f"%load_ext fleet_rlm\n%env FLEET_LM=test@{server.base_url}",
        "%%fleet --session on-call --approve ask\nWho was on call?",
        "print(_run.status, _session.buffers.read('findings'))",
    ]
    notebook = open_notebook(lab.write("answering.ipynb", cells))
    notebook.run(LOAD)
    notebook.begin(ASK)
    widget = notebook.widget(ASK)
    expect(notebook.status(ASK)).to_have_text("Waiting for you")
    expect(widget.get_by_role("alert")).to_have_text("Fetch https://example.com/handbook.html?")
    reason = widget.get_by_role("textbox")
    reason.click()
    notebook.page.keyboard.type("add the wiki")  # a and d are commands of the notebook
    expect(reason).to_have_value("add the wiki")
    widget.get_by_role("button", name="Decline").click()
    expect(widget.get_by_role("alert")).to_have_text("Write to the buffer findings?")
    expect(widget.get_by_role("form", name="the run asks you")).to_contain_text("text: Ada was on call.")
    widget.get_by_role("button", name="Allow once").click()
    notebook.end()
    expect(notebook.status(ASK)).to_have_text("Done")
    expect(widget.get_by_role("form", name="the run asks you")).to_have_count(0)
    assert "the user declined: add the wiki" in server.requests[1].text
    notebook.run(NEXT)
    assert notebook.text(NEXT).strip() == "ok ['Ada was on call.\\nShe said so.']"
