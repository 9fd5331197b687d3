"""A sandbox starts and closes harmlessly, keeps one namespace to itself, and survives what code does to it."""

from __future__ import annotations

import pytest

from fleet_rlm.sandbox.errors import SandboxBusy, SandboxClosed, SandboxDied
from tests.conformance.backends import Local, Make


def test_starting_twice_and_closing_twice_is_harmless(make: Make) -> None:
    sandbox = make()
    sandbox.start()
    sandbox.start()
    sandbox.shutdown()
    sandbox.shutdown()


def test_the_namespace_persists_and_is_its_own(make: Make) -> None:
    one, other = make(), make()
    one.run("import math\nx = 41\ndef f(): return x + 1")
    assert "42" in one.run("f()").text()
    assert other.run("x").error is not None


def test_an_error_is_recoverable(make: Make) -> None:
    sandbox = make()
    failed = sandbox.run("y = 1\n1 / 0")
    assert failed.error is not None
    assert "division by zero" in failed.text()
    assert "1" in sandbox.run("y").text()
    assert sandbox.run("def broken(:").error is not None
    assert "1" in sandbox.run("y").text()


def test_a_closed_sandbox_says_so(local: Local) -> None:
    sandbox = local()
    sandbox.start()
    sandbox.shutdown()
    with pytest.raises(SandboxClosed):
        sandbox.run("1")


def test_one_cell_at_a_time(local: Local) -> None:
    sandbox = local()
    sandbox.tools["again"] = lambda: sandbox.run("1")
    error = sandbox.run("again()").error
    assert error is not None
    assert error.type == SandboxBusy.__name__


def test_a_guest_that_exits_is_reported(local: Local) -> None:
    sandbox = local()
    with pytest.raises(SandboxDied, match="exited with status 3"):
        sandbox.run("import os; os._exit(3)")


def test_exit_and_input_do_not_end_the_sandbox(local: Local) -> None:
    sandbox = local()
    assert sandbox.run("import sys; sys.exit(1)").error is not None
    assert sandbox.run("input()").error is not None
    assert sandbox.run("1").value == "1"
