"""A run in a real JupyterLab while it goes on: Stop, a page that is reloaded, other widgets.

The model is a loopback server that answers when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.page import Notebook
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import by_role, rlm_action

LOAD, ASK, NEXT = 0, 1, 2
"""Places of the cells that every notebook here begins with."""


@pytest.fixture
def gate() -> Gate:
    """Holds back the second action of the model, so that the run has a tree and goes on."""
    return Gate()


@pytest.fixture
def server(gate: Gate) -> Iterator[LMServer]:
    look = rlm_action("Look at the letter.", "print(len(letter))")
    found = Reply(rlm_action("It is there.", "SUBMIT(answer='48151')"), gate=gate)
    with LMServer(by_role(rlm_action=[look, found])) as server:
        yield server
        gate.open()


@pytest.fixture
def asking(
    lab: Lab, server: LMServer, open_notebook: Callable[[str], Notebook], request: pytest.FixtureRequest
) -> Notebook:
    """A notebook whose question waits for the gate; the extension is loaded."""
    notebook = open_notebook(
        lab.write(
            f"{request.node.name}.ipynb",
            [
                f"%load_ext fleet_rlm\n%env FLEET_LM=test@{server.base_url}\nletter = 'Dear Ada,\\n' * 50_000",
                "%%fleet --mode rlm_only --with letter\nWhat is the magic number?",
                "print(_run.status, _run.answer)",
                "import ipywidgets\n"
                "heard = ipywidgets.Label('nothing')\n"
                "button = ipywidgets.Button(description='other')\n"
                "button.on_click(lambda _: setattr(heard, 'value', f'clicked while {_run.status}'))\n"
                "ipywidgets.HBox([button, heard])",
            ],
        )
    )
    notebook.run(LOAD)
    return notebook


def waiting_for_the_model(notebook: Notebook, server: LMServer) -> None:
    """The run has asked for its second action, and the page shows it."""
    server.wait_for(2)
    expect(notebook.status(ASK)).to_have_text("Running")
    expect(notebook.spans(ASK, "llm")).to_have_count(2)


def test_stop_ends_the_cell_in_the_middle_and_the_next_one_works(asking: Notebook, server: LMServer) -> None:
    asking.begin(ASK)
    waiting_for_the_model(asking, server)
    asking.widget(ASK).get_by_role("button", name="Stop").click()
    asking.end()
    expect(asking.status(ASK)).to_have_text("Stopped")
    expect(asking.failure(ASK)).to_have_text("RunStopped: the run was stopped; its trace is kept (trace: _run)")
    expect(asking.static(ASK)).to_contain_text("stopped")
    server.wait_idle()
    assert server.requests[-1].outcome == "cancelled"
    asking.run(NEXT)
    assert asking.text(NEXT).strip() == "stopped None"


def test_a_page_reloaded_in_mid_run_shows_the_tree_again_and_the_end(
    asking: Notebook, server: LMServer, gate: Gate
) -> None:
    asking.begin(ASK)
    waiting_for_the_model(asking, server)
    before = asking.spans(ASK).all_inner_texts()
    asking.save()
    asking.reload()
    waiting_for_the_model(asking, server)
    assert len(asking.spans(ASK).all_inner_texts()) == len(before)
    gate.open()
    expect(asking.status(ASK)).to_have_text("Done")
    expect(asking.widget(ASK)).to_contain_text("48151")
    asking.run(NEXT)
    assert asking.text(NEXT).strip() == "ok 48151"


def test_a_widget_of_another_cell_is_alive_while_a_run_goes_on(asking: Notebook, server: LMServer, gate: Gate) -> None:
    other = 3
    asking.run(other)
    asking.begin(ASK)
    waiting_for_the_model(asking, server)
    asking.cell(other).get_by_role("button", name="other").click()
    expect(asking.cell(other)).to_contain_text("clicked while running")
    gate.open()
    asking.end()
    expect(asking.status(ASK)).to_have_text("Done")
