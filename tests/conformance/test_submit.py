"""SUBMIT ends the cell with checked fields, is never lost, and a wrong one is an error of the code."""

from __future__ import annotations

import pytest

from tests.conformance.backends import Local, Make


def test_submit_ends_the_cell_with_typed_fields(make: Make) -> None:
    sandbox = make(output_fields=[{"name": "answer", "type": "str"}, {"name": "score", "type": "float"}])
    result = sandbox.run("SUBMIT(answer='a', score=0.5)\nprint('not reached')")
    assert result.submitted == {"answer": "a", "score": 0.5}
    assert "not reached" not in result.printed
    assert sandbox.run("SUBMIT('b', 1.0)").submitted == {"answer": "b", "score": 1.0}
    assert sandbox.run("SUBMIT(wrong=1)").error is not None


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("SUBMIT(answer=1)", "'answer' must be str, not int"),
        ("SUBMIT('a', 'b')", "takes 1 values, 2 were given"),
        ("SUBMIT()", "lacks 'answer'"),
        ("SUBMIT(other=1)", "no field 'other'"),
        ("SUBMIT(answer=object())", "'answer' must be str"),
    ],
)
def test_a_wrong_submission_raises_in_the_code(local: Local, call: str, fault: str) -> None:
    result = local(output_fields=[{"name": "answer", "type": "str"}]).run(call)
    assert result.submitted is None
    assert result.error is not None
    assert fault in result.error.message


def test_what_cannot_leave_is_named(local: Local) -> None:
    result = local().run("SUBMIT(object())")
    assert result.submitted is None
    assert result.error is not None
    assert "a object cannot leave the sandbox" in result.error.message


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    SUBMIT('x')\nexcept:\n    pass\nn = 0\nwhile True:\n    n += 1",
        "while True:\n    try:\n        SUBMIT('x')\n    except:\n        pass",
        "try:\n    SUBMIT('x')\nexcept BaseException:\n    pass",
    ],
)
def test_a_swallowed_submit_still_ends_the_cell(local: Local, code: str) -> None:
    sandbox = local(timeout=5)
    assert sandbox.run(code).submitted == {"output": "x"}
    assert sandbox.run("1 + 1").value == "2"


def test_a_submission_is_not_lost_on_a_busy_machine(local: Local) -> None:
    """Where starting a thread takes longer than the time after which a swallowed SUBMIT is raised again."""
    slow = (
        "import threading, time\nstart = threading.Thread.start\n"
        "def slow(thread):\n    start(thread)\n    until = time.perf_counter() + 0.2\n"
        "    while time.perf_counter() < until: pass\n"
        "threading.Thread.start = slow"
    )
    sandbox = local()
    sandbox.run(slow)
    assert sandbox.run("SUBMIT('x')").submitted == {"output": "x"}
