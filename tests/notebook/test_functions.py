"""`--tools` in a real kernel: the agent calls functions of the notebook; what is none is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import answer, by_role, react_step

from .live_kernel import Kernel

STEPS = [react_step("look", "price", item="tea"), react_step("I know it", "finish")]

FUNCTION = """
called = []

def price(item: str) -> str:
    "What an item costs."
    called.append(item)
    return f"{item}: 3 EUR"

def untyped(item):
    return item

def finish(item: str) -> str:
    return item

amount = 3
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the kernels of these tests keep their runs."""
    return tmp_path_factory.mktemp("kernel")


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[Kernel]:
    with Kernel(home) as kernel:
        assert kernel.run(FUNCTION).succeeded
        yield kernel


def test_the_agent_calls_a_function_of_the_notebook(kernel: Kernel) -> None:
    with LMServer(by_role(react_step=STEPS, react_extract=answer(reasoning="-", answer="3 EUR"))) as server:
        assert kernel.run(f"%env FLEET_LM=test@{server.base_url}").succeeded
        assert kernel.run("%%fleet --tools price -o cost\nWhat does tea cost?").succeeded
        seen = kernel.run("assert (called, cost) == (['tea'], '3 EUR'), (called, cost)")
        assert seen.succeeded, seen
        assert "tea: 3 EUR" in server.requests[1].text


def test_a_run_of_a_killed_kernel_goes_on_with_functions_of_this_one(kernel: Kernel, home: Path) -> None:
    """The call that had returned is told again; the next one is made, of the function that stands here."""
    gate = Gate()
    steps = [
        react_step("look", "price", item="tea"),
        Reply(gate=gate),  # the kernel is killed while it waits for this
        react_step("look", "price", item="milk"),
        react_step("I know both", "finish"),
    ]
    with LMServer(by_role(react_step=steps, react_extract=answer(reasoning="-", answer="3 EUR each"))) as server:
        with Kernel(home, {"FLEET_LM": f"test@{server.base_url}"}) as other:
            assert other.run(FUNCTION).succeeded
            other.until_widget(other.begin("%%fleet --tools price -o cost\nWhat do tea and milk cost?"))
            server.wait_for(2)
            other.manager.signal_kernel(9)
        gate.open()
        assert kernel.run(f"called.clear()\n%env FLEET_LM=test@{server.base_url}").succeeded
        run = kernel.run("%fleet runs").printed.split("the latest first: ")[1].split()[0].rstrip(",")
        refused = kernel.run(f"%fleet resume {run}")
        assert not refused.succeeded
        assert refused.complained.splitlines() == [
            "UsageError: the run has tools of its user that are not in this process: price; define them and hand them "
            "again: run.resume(tools=[price]), or %fleet resume --tools price"
        ]
        gone_on = kernel.run(f"%fleet resume {run} --tools price -o cost")
        assert gone_on.succeeded, gone_on
        assert kernel.value("called, cost") == "(['milk'], '3 EUR each')"
        told = server.requests[-1].text
    assert all(f"{item}: 3 EUR" in told for item in ("tea", "milk"))


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("prize", "there is no function `prize`; did you mean price?"),
        ("amount", "`amount` is no function but int; --tools takes functions"),
        ("untyped", "the argument item of untyped has no type; write it, as in item: str"),
        ("finish", "finish is a tool that the agent has already; give your function another name"),
    ],
)
def test_what_is_no_tool_is_refused_in_one_line(kernel: Kernel, named: str, said: str) -> None:
    cell = kernel.run(f"%%fleet --tools {named}\nWhat does tea cost?")
    assert not cell.succeeded
    assert cell.complained.splitlines() == [f"UsageError: {said}"]
