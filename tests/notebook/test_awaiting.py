from __future__ import annotations

import asyncio

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell

AWAITED = "await get_ipython().run_cell_magic('_fleet_await', '--budget 3', 'question?\\n')\n"
BLOCKING = AWAITED.replace("await ", "").replace("_fleet_await", "fleet")


@pytest.fixture
def kernel_shell(shell: InteractiveShell) -> InteractiveShell:
    """A shell that has a kernel, which is how a notebook's differs from a terminal's."""
    shell.kernel = "a kernel"
    return shell


def translated(cell: str, shell: InteractiveShell) -> str:
    """What the shell would execute for a cell while its loop is running, as a kernel's is."""

    async def in_a_running_loop() -> str:
        return shell.transform_cell(cell)

    return asyncio.run(in_a_running_loop())


def test_a_fleet_cell_in_a_kernel_awaits(kernel_shell: InteractiveShell) -> None:
    assert translated("%%fleet --budget 3\nquestion?\n", kernel_shell) == AWAITED


@pytest.mark.parametrize("magic", ["autoawait off", "autoawait trio_like", "autoawait False"])
def test_where_a_cell_cannot_await_it_blocks(kernel_shell: InteractiveShell, magic: str) -> None:
    kernel_shell.user_ns["trio_like"] = asyncio.run  # a loop runner of the user's own, as for trio
    kernel_shell.run_line_magic(*magic.split())
    assert translated("%%fleet --budget 3\nquestion?\n", kernel_shell) == BLOCKING


def test_in_a_terminal_the_cell_blocks(shell: InteractiveShell) -> None:
    assert translated("%%fleet --budget 3\nquestion?\n", shell) == BLOCKING


def test_without_a_running_loop_the_cell_blocks(kernel_shell: InteractiveShell) -> None:
    assert kernel_shell.transform_cell("%%fleet --budget 3\nquestion?\n") == BLOCKING


@pytest.mark.parametrize(
    "cell",
    [
        "%%fleeting\nquestion?\n",
        "%%time\n%%fleet\nquestion?\n",
        "x = 1\nget_ipython().run_cell_magic('fleet', '', 'later in the cell')\n",
        "%fleet runs\n",
        "print('await')\n",
        "",
    ],
)
def test_every_other_cell_is_left_as_it_is(kernel_shell: InteractiveShell, cell: str) -> None:
    assert translated(cell, kernel_shell) == TransformerManager().transform_cell(cell)


def test_an_empty_body_reaches_the_magic_so_that_it_can_help(kernel_shell: InteractiveShell) -> None:
    assert translated("%%fleet -h", kernel_shell) == "await get_ipython().run_cell_magic('_fleet_await', '-h', '\\n')\n"
    quoted = "%%fleet\nwhat is ', '')\n"
    assert translated(quoted, kernel_shell).endswith("""\"what is ', '')\\n")\n""")


def test_below_another_magic_or_in_running_code_the_cell_blocks(kernel_shell: InteractiveShell) -> None:
    """User code asks for the translation while it runs, as `%%time` does for the cell below it."""
    kernel_shell.user_ns["translated"] = lambda: translated("%%fleet --budget 3\nquestion?\n", kernel_shell)
    kernel_shell.run_cell("found = translated()")
    assert kernel_shell.user_ns["found"] == BLOCKING
