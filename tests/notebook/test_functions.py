"""`--tools` in a real kernel: the agent calls functions of the notebook; what is none is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.twins.lm_server import LMServer
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
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        assert kernel.run(FUNCTION).succeeded
        yield kernel


def test_the_agent_calls_a_function_of_the_notebook(kernel: Kernel) -> None:
    with LMServer(by_role(react_step=STEPS, react_extract=answer(reasoning="-", answer="3 EUR"))) as server:
        assert kernel.run(f"%env FLEET_LM=test@{server.base_url}").succeeded
        assert kernel.run("%%fleet --tools price -o cost\nWhat does tea cost?").succeeded
        seen = kernel.run("assert (called, cost) == (['tea'], '3 EUR'), (called, cost)")
        assert seen.succeeded, seen
        assert "tea: 3 EUR" in server.requests[1].text


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
