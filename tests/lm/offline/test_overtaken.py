"""Other threads may build syntax trees while the stand-in works.

Python up to 3.11.7 tells one of two that do so at once a `SystemError` (python/cpython#106905). Threads meet rarely; a
collection of garbage in the midst of the first tree is the same meeting, at will.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fleet_rlm.agent.context import small_text
from fleet_rlm.lm.offline.cells import write_cell
from fleet_rlm.lm.offline.direct import answer


@contextmanager
def overtaken(times: int) -> Iterator[None]:
    """So many times another tree is built in the midst of one."""
    left = times

    def parse(phase: str, info: dict[str, int]) -> None:
        nonlocal left
        if left and phase == "start" and sys._getframe(1).f_code is ast.parse.__code__:
            left -= 1
            ast.parse("((((((((x))))))))")

    before = gc.get_threshold()
    gc.callbacks.append(parse)
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(parse)


def test_a_cell_is_written_beside_any_number_of_other_trees() -> None:
    wanted = write_cell("look", "Look.", "found = re.search('a', text)\ncount: Any = found.json")
    assert wanted.code.startswith("import re\nfrom typing import Any\n")
    with overtaken(times=1000):
        assert write_cell("look", "Look.", "found = re.search('a', text)\ncount: Any = found.json") == wanted


def test_a_value_is_read_again_when_it_was_overtaken() -> None:
    context = small_text({"sales": [{"shop": "Ayr", "takings": 3}, {"shop": "Bute", "takings": 5}]}, 1000)
    assert context is not None
    with overtaken(times=1):
        assert answer("Which shop has the highest takings?", context).startswith("Bute ")
