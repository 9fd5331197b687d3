"""`%%fleet` in a real kernel, its model a loopback server that answers when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply, refused_key
from tests.twins.scripts import answer, by_role

from .live_kernel import Cell, Kernel

LOAD_MS = 50
"""What issue 2 allows `%load_ext` to take."""


@pytest.fixture
def gate() -> Gate:
    """Opened, it lets the model answer."""
    return Gate()


@pytest.fixture
def server(gate: Gate) -> Iterator[LMServer]:
    with LMServer(by_role(direct=Reply(answer(answer="42"), gate=gate))) as server:
        yield server
        gate.open()


@pytest.fixture(scope="module")
def one_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        yield kernel


@pytest.fixture
def kernel(one_kernel: Kernel, server: LMServer) -> Kernel:
    """The kernel of all these tests, as after hours of use; its model is this test's server."""
    assert one_kernel.run(f"%env FLEET_LM=test@{server.base_url}").succeeded
    return one_kernel


def failed_in_one_line(cell: Cell, kind: str) -> str:
    """The line a failed cell shows, after checking that it is the only one and that Run All halts at it."""
    assert not cell.succeeded
    assert cell.error is not None, cell
    assert cell.error["ename"] == kind
    assert cell.error["traceback"] == [f"{kind}: {cell.error['evalue']}"]
    return str(cell.error["evalue"])


def test_loading_the_extension_takes_at_most_50_ms(tmp_path: Path) -> None:
    """In a fresh kernel; others are tried if it is slow, since this machine may be busy with something else."""
    timed = "from time import perf_counter as now\nt = now()\nget_ipython().run_line_magic('load_ext', 'fleet_rlm')"
    taken: list[float] = []
    while len(taken) < 5 and min(taken, default=LOAD_MS + 1) > LOAD_MS:
        home = tmp_path / str(len(taken))
        home.mkdir()
        with Kernel(home, loaded=False) as kernel:
            assert kernel.run(f"{timed}\ntaken = now() - t").succeeded
            taken.append(float(kernel.value("taken")) * 1000)
    assert min(taken) <= LOAD_MS, taken


def test_a_run_shows_a_widget_and_leaves_a_static_output(kernel: Kernel, gate: Gate) -> None:
    gate.open()
    cell = kernel.run("notes = 'the answer is 42'\n")
    cell = kernel.run("%%fleet --with notes -o found\nWhat is the answer?")
    assert cell.succeeded, cell.error
    assert len(cell.widgets) == 1
    assert len(cell.static) == 1
    assert {"text/html", "text/markdown", "text/plain"} <= set(cell.static[0])
    assert "42" in cell.static[0]["text/plain"]
    assert cell.result is None
    assert kernel.value("found") == "'42'"
    assert kernel.value("_run.status, _run.task") == "('ok', 'What is the answer?')"
    assert "What is the answer?" in kernel.run("%fleet show --sent").printed


def test_names_are_bound_before_the_model_has_answered(kernel: Kernel, gate: Gate, server: LMServer) -> None:
    kernel.run("found = 'an old answer'")
    cell = kernel.run("%%fleet --detach -o found\nWhat is the answer?")
    assert cell.succeeded
    server.wait_for(1)
    assert kernel.value("_run.status, found") == "('running', None)"
    gate.open()
    assert "42" in kernel.until_update(cell)["text/plain"]
    assert kernel.value("_run.status, found") == "('ok', '42')"


def test_the_stop_button_stops_the_run_in_the_middle_of_the_cell(kernel: Kernel, server: LMServer) -> None:
    cell = kernel.begin("%%fleet -o found\nWhat is the answer?")
    model = kernel.until_widget(cell)
    server.wait_for(1)
    kernel.press(model, {"v": 1, "t": "stop", "id": "click"})
    kernel.end(cell)
    assert "stopped" in failed_in_one_line(cell, "RunStopped")
    assert len(cell.static) == 1, "the trace so far stays visible"
    assert kernel.value("_run.status, found") == "('stopped', None)"
    server.wait_idle()
    assert [request.outcome for request in server.requests] == ["cancelled"]


@pytest.mark.parametrize("above", ["", "%%time\n"])
def test_an_interrupt_stops_the_run_and_the_next_cell_works(
    kernel: Kernel, server: LMServer, gate: Gate, above: str
) -> None:
    cell = kernel.begin(f"{above}%%fleet\nWhat is the answer?")
    server.wait_for(1)
    kernel.interrupt()
    kernel.end(cell)
    assert "stopped" in failed_in_one_line(cell, "RunStopped")
    assert kernel.value("_run.status") == "'stopped'"
    assert kernel.value("len(_run.events()) > 2") == "True"
    gate.open()
    assert kernel.run("%%fleet\nAnd now?").succeeded
    assert kernel.value("_run.answer") == "'42'"


def test_other_widgets_are_alive_while_a_cell_runs(kernel: Kernel, server: LMServer) -> None:
    kernel.run("import ipywidgets\nother = ipywidgets.IntSlider()\nheard = []")
    kernel.run("other.on_msg(lambda widget, content, buffers: heard.append((content, _run.status)))")
    model = kernel.value("other.model_id").strip("'")
    cell = kernel.begin("%%fleet\nWhat is the answer?")
    server.wait_for(1)
    kernel.press(model, {"n": 1})
    kernel.press(kernel.until_widget(cell), {"v": 1, "t": "stop", "id": "after the other message"})
    kernel.end(cell)
    assert kernel.value("heard") == "[({'n': 1}, 'running')]"


def test_below_time_and_capture_the_cell_blocks_and_still_answers(kernel: Kernel, gate: Gate) -> None:
    gate.open()
    timed = kernel.run("%%time\n%%fleet -o timed\nWhat is the answer?")
    assert timed.succeeded
    assert "Wall time" in timed.printed
    captured = kernel.run("%%capture kept\n%%fleet -o captured\nWhat is the answer?")
    assert captured.succeeded
    assert captured.displays == []
    assert kernel.value("timed, captured, len(kept.outputs)") == "('42', '42', 2)"


def test_a_cell_can_be_run_from_code(kernel: Kernel, gate: Gate) -> None:
    gate.open()
    assert kernel.run("get_ipython().run_cell_magic('fleet', '--quiet -o a', 'What is the answer?')").succeeded
    assert kernel.run("_ = get_ipython().run_cell('%%fleet --quiet -o b\\nWhat is the answer?')").succeeded
    assert kernel.run("%autoawait off").succeeded
    assert kernel.run("%%fleet --quiet -o c\nWhat is the answer?").succeeded
    assert kernel.run("%autoawait on").succeeded
    assert kernel.value("a, b, c") == "('42', '42', '42')"


def test_several_runs_go_on_at_once_and_one_can_be_stopped(kernel: Kernel, server: LMServer, gate: Gate) -> None:
    cells = [kernel.run(f"%%fleet --detach -o answer{number}\nQuestion {number}?\n") for number in range(3)]
    server.wait_for(3)
    listed = kernel.run("%fleet runs").printed.splitlines()[-3:]
    assert [line.split()[1] for line in listed] == ["running"] * 3
    first = listed[0].split()[0]
    assert "say which" in kernel.run("%fleet stop").complained
    stopping = kernel.run(f"%fleet stop {first}")
    assert "told to stop" in stopping.printed
    gate.open()
    for cell in cells[1:]:
        kernel.until_update(cell)
    listed = kernel.run("%fleet runs").printed.splitlines()[-3:]
    assert [line.split()[1] for line in listed] == ["stopped", "ok", "ok"]
    assert kernel.value("answer0, answer1, answer2") == "(None, '42', '42')"


def test_quiet_shows_the_answer_and_nothing_else(kernel: Kernel, gate: Gate) -> None:
    gate.open()
    cell = kernel.run("%%fleet --quiet\nWhat is the answer?")
    assert cell.displays == [{"text/plain": "42", "text/markdown": "42"}]
    assert (cell.printed, cell.complained, cell.result) == ("", "", None)


def test_a_slip_fails_the_cell_with_one_line(kernel: Kernel, server: LMServer) -> None:
    cell = kernel.run("%%fleet --with lgos\nWhy?")
    assert not cell.succeeded
    assert cell.complained == "UsageError: there is no variable `lgos` and no file or directory 'lgos'\n"
    assert cell.error is None
    assert server.calls == 0


def test_tab_and_the_question_mark_work_in_every_front_end(kernel: Kernel) -> None:
    kernel.run("ledger = [1, 2]")
    assert kernel.tab("%%fleet --mo") == ["--mode", "--model"]
    assert kernel.tab("%%fleet --with led") == ["ledger"]
    shown = kernel.run("%%fleet?").reply["payload"][0]["data"]["text/plain"]
    assert "--budget N" in shown


def test_run_all_halts_at_a_run_without_an_answer(tmp_path: Path) -> None:
    with LMServer(lambda request, index: refused_key()) as server:
        sources = [
            f"%env FLEET_LM=test@{server.base_url}",
            "%load_ext fleet_rlm",
            "%%fleet\nWhat is the answer?",
            "print('never reached')",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        client = nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(Path.cwd())}}, timeout=60)
        with pytest.raises(nbclient.exceptions.CellExecutionError) as caught:
            client.execute()
    asked, never = notebook.cells[2], notebook.cells[3]
    assert caught.value.ename == "ModelError"
    shown = next(output for output in asked.outputs if output.output_type == "error")
    assert shown.traceback == [f"ModelError: {shown.evalue}"]
    assert "fleet_rlm/" not in str(caught.value)
    assert any("text/html" in output.get("data", {}) for output in asked.outputs), "the trace stays in the notebook"
    assert never.outputs == []


def test_a_saved_notebook_holds_the_answer_without_a_kernel(tmp_path: Path) -> None:
    sources = [
        "%load_ext fleet_rlm",
        "log = 'alpha\\nbeta\\nalpha'",
        "%%fleet --with log\nHow many lines mention alpha?",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(Path.cwd())}}, timeout=120).execute()
    saved = nbformat.reads(nbformat.writes(notebook), as_version=4)
    static = [output.data for output in saved.cells[2].outputs if "text/html" in output.data]
    assert len(static) == 1
    assert "2" in static[0]["text/plain"]
    assert "<script" not in static[0]["text/html"]
