"""B2, B11, B12, B14: code runs as Python runs, and everything it printed reaches the model."""

from __future__ import annotations

import re

import pytest

import fleet_rlm as fleet
from tests.faults.model import CONTEXT, model, submitted
from tests.twins.scripts import rlm_action


def test_prints_before_an_error_reach_the_model_with_the_failing_line() -> None:
    _, server = submitted("print('first')\nprint('second')\nvalue = 1 / 0", "SUBMIT(answer='x')")
    seen = server.requests[1].text
    assert "first\nsecond" in seen
    assert "value = 1 / 0" in seen.partition("first\nsecond")[2]
    assert "ZeroDivisionError" in seen


def test_prints_and_the_value_of_the_last_expression_both_reach_the_model() -> None:
    _, server = submitted("print('printed')\n40 + 2", "SUBMIT(answer='x')")
    assert "printed\n42" in server.requests[1].text


def test_prints_of_the_submitting_cell_are_in_the_trace() -> None:
    run, _ = submitted("print('last words')\nSUBMIT(answer='x')")
    assert [span.output for span in run.tree.spans.values() if span.type == "code"] == ["last words"]


def test_a_submission_is_not_swallowed_by_a_bare_except() -> None:
    run, _ = submitted("try:\n    SUBMIT(answer='kept')\nexcept:\n    print('swallowed')")
    assert run.answer == "kept"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_function_the_model_is_told_of_exists(depth: int) -> None:
    names: list[str] = []

    def act(prompt: object) -> object:
        told = prompt.system  # type: ignore[attr-defined]
        names[:] = sorted(set(re.findall(r"`([a-z_]\w*)\(", told)) | {"SUBMIT"})
        return rlm_action("-", f"SUBMIT(answer=[name for name in {names!r} if not callable(eval(name))])")

    with model(rlm_action=act) as (_, lm):
        run = fleet.run("What?", context=CONTEXT, lm=lm, mode="rlm_only", depth=depth)
    assert {"llm_query", "llm_query_batched", "SUBMIT"} <= set(names)
    assert ("sub_rlm" in names) == (depth > 1)
    assert run.answer == "[]"


ORDINARY = {
    "a class with a base, a property and super()": (
        "class A:\n    def __init__(self, x): self.x = x\n    @property\n    def double(self): return 2 * self.x\n"
        "class B(A):\n    def __init__(self): super().__init__(21)\nfound = B().double",
        42,
    ),
    "a closure over a loop's variable": (
        "def make(n):\n    def add(m): return n + m\n    return add\nfound = [make(i)(10) for i in range(3)]",
        [10, 11, 12],
    ),
    "recursion of a function defined in the cell": (
        "def fact(n): return 1 if n < 2 else n * fact(n - 1)\nfound = fact(10)",
        3_628_800,
    ),
    "a comprehension that uses names of the cell": (
        "k = 3\nfound = [[k * i for i in range(k)] for _ in range(1)]",
        [[0, 3, 6]],
    ),
    "a generator, a dataclass, eval, exec and globals": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 1\n"
        "exec('made = P(5)')\nfound = [eval('made.x'), sum(i for i in range(4)), 'made' in globals()]",
        [5, 6, True],
    ),
}


@pytest.mark.parametrize("what", ORDINARY)
def test_ordinary_python_works(what: str) -> None:
    code, value = ORDINARY[what]
    run, _ = submitted(f"{code}\nSUBMIT(answer=repr(found))")
    assert run.answer == repr(value)


def test_a_function_sees_globals_assigned_in_later_cells() -> None:
    run, _ = submitted("def late(): return defined_later", "defined_later = 7", "SUBMIT(answer=late())")
    assert run.answer == "7"


def test_an_input_that_code_reassigned_stays_reassigned() -> None:
    run, _ = submitted("context = context.upper()[:4]", "SUBMIT(answer=context)")
    assert run.answer == "LINE"


def test_a_failing_cell_keeps_what_it_had_assigned() -> None:
    run, _ = submitted("kept = 5\n1 / 0", "SUBMIT(answer=kept)")
    assert run.answer == "5"
