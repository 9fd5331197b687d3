"""What makes `%%fleet` an awaiting cell: an input transformer, because IPython has no asynchronous magics.

While a synchronous cell runs, the kernel delivers no widget message to Python, so a Stop button would be dead; while a
cell awaits, messages arrive at once. The transformer therefore turns a `%%fleet` at the top of a cell into an `await`
of the twin magic `_fleet_await`. Below another magic (`%%time`, `%%capture`) or in code that is already running, an
`await` is not possible, and in a terminal Ctrl-C would leave the awaited coroutine orphaned: there the blocking form
stays, which the interrupt stops. `%fleet resume` and `%fleet branch` await too where they are all a cell says.
"""

from __future__ import annotations

import re
import sys
from typing import Any

PLAIN = "get_ipython().run_cell_magic('fleet',"
AWAITED = "await get_ipython().run_cell_magic('_fleet_await',"
EMPTY_BODY = ", '')"
LINE = re.compile(r"get_ipython\(\)\.run_line_magic\('fleet', (['\"])(?:resume|branch)\b")
AWAITED_LINE = "await get_ipython().run_line_magic('_fleet_await_line',"


class Awaiting:
    """A line transformer for one shell; register it in `shell.input_transformers_post`."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """The lines of a cell after IPython has translated its magics, rewritten if they are a `%%fleet` call."""
        if len(lines) == 1 and LINE.match(lines[0]) and self._can_await():
            return [AWAITED_LINE + lines[0].partition(",")[2]]
        if not lines or not lines[0].startswith(PLAIN):
            return lines
        first = lines[0].rstrip("\n")
        if first.endswith(EMPTY_BODY):
            # IPython refuses an empty body with a sentence of its own before the magic is asked, even for `-h`.
            first = first.removesuffix(EMPTY_BODY) + r", '\n')"
        if self._can_await():
            first = AWAITED + first.removeprefix(PLAIN)
        return [first + "\n", *lines[1:]]

    def _can_await(self) -> bool:
        shell = self._shell
        in_kernel = getattr(shell, "kernel", None) is not None
        on_asyncio = shell.autoawait and shell.loop_runner is shell.loop_runner_map["asyncio"][0]
        return in_kernel and on_asyncio and _loop_is_running() and not _inside_a_cell()


def _loop_is_running() -> bool:
    import asyncio  # a kernel has it; a terminal would pay 25 ms for it while loading

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _inside_a_cell() -> bool:
    """True when user code is already running on this stack, as it is below another magic or `run_cell`."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "run_code" and frame.f_globals.get("__name__") == "IPython.core.interactiveshell":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
