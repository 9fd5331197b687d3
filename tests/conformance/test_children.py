"""A child has its parent's variables and changes only its own; where a fork is unsafe it is spawned and says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from fleet_rlm.sandbox.base import ForkingTool, Sandbox
from fleet_rlm.sandbox.errors import SandboxClosed, SandboxDied, SandboxError
from fleet_rlm.sandbox.local import LocalSandbox
from tests.conformance.backends import THREAD, Local


def test_a_child_has_the_variables_and_changes_only_its_own(local: Local) -> None:
    parent = local(tools={"name": lambda: "tool"})
    parent.run("data = [1, 2]\nkept = name")
    child = parent.fork()
    assert isinstance(child, LocalSandbox)
    assert child.run("data.append(3); len(data), name(), kept()").value == "(3, 'tool', 'tool')"
    assert parent.run("len(data), name()").value == "(2, 'tool')"
    grandchild = child.fork()
    assert isinstance(grandchild, LocalSandbox)
    assert grandchild.run("data").value == "[1, 2, 3]"
    parent.shutdown()
    with pytest.raises((SandboxClosed, SandboxDied)):
        child.run("1")


def test_no_two_sandboxes_draw_the_same_random_numbers(local: Local) -> None:
    draw = "import random, uuid, numpy\nrandom.random(), uuid.uuid4(), numpy.random.random()"
    separate = [local(preload=("numpy",)).run(draw).value for _ in range(2)]
    parent = local()
    parent.run(draw)
    kept = parent.checkpoint()
    family = [parent.fork(), parent.fork(), parent.restore(kept), parent.restore(kept), parent]
    drawn = [*separate, *(one.run(draw).value for one in family)]  # type: ignore[attr-defined]
    for column in zip(*(str(numbers).strip("()").split(", ") for numbers in drawn), strict=True):
        assert len(set(column)) == len(drawn)


def test_a_forking_tool_gives_the_handler_a_child_with_the_passed_object(local: Local) -> None:
    async def sub(fork: Callable[[], Any], prompt: str, level: int = 0) -> Any:
        child: Sandbox = await fork()
        seen = "context.shape if hasattr(context, 'shape') else context"
        result = await child.aexecute(f"{seen}, own, 'SUBMIT' in globals()")
        return f"{prompt}/{level}: {result.text()}"

    parent = local(tools={"sub": ForkingTool(sub)})
    parent.run("own = 'mine'; context = 'inherited'\nclass Thing:\n    shape = (1, 2)")
    assert parent.run("sub('q', Thing(), level=2)").value == "\"q/2: ((1, 2), 'mine', True)\""
    assert "inherited" in parent.run("sub('q')").text()
    assert parent.run("context").value == "'inherited'"


def test_batched_forks_run_together_and_keep_their_order(local: Local) -> None:
    together = threading.Barrier(3, timeout=10)

    async def sub(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        result = await child.aexecute("if together: meet()\ncontext * 10")
        if prompt == "bad":
            raise ValueError("bad prompt")
        return int(result.value or 0)

    parent = local(tools={"many": ForkingTool(sub, batched=True), "meet": lambda: together.wait() >= 0})
    parent.run("together = True")
    assert parent.run("many(['a', 'b', 'c'], [1, 2, 3])").value == "[10, 20, 30]"
    error = parent.run("together = False\nmany(['a', 'bad'], [1, 2])").error
    assert error is not None
    assert error.type == "ExceptionGroup"
    assert "1 of 2 many items failed" in error.message
    assert parent.run("many(['a', 'bad'], [1, 2], return_exceptions=True)[0]").value == "10"


def test_forking_tools_may_be_called_from_threads_of_the_cell(local: Local) -> None:
    async def sub(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        return (await child.aexecute("context")).value

    parent = local(tools={"sub": ForkingTool(sub)})
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: found = list(pool.map(lambda i: sub('q', i), range(6)))\nfound"
    )
    assert parent.run(code).value == "['0', '1', '2', '3', '4', '5']"


def test_a_child_that_dies_is_an_exception_in_the_parents_code(local: Local) -> None:
    async def sub(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        return (await child.aexecute("import os; os._exit(1)")).text()

    error = local(tools={"sub": ForkingTool(sub)}).run("sub('q')").error
    assert error is not None
    assert error.type == "SandboxDied"


def test_a_child_may_run_cells_while_its_parent_waits(local: Local) -> None:
    async def sub(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        return (await child.aexecute("deeper('again') if depth < 2 else depth")).value

    async def deeper(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        await child.aexecute("depth += 1")
        return (await child.aexecute("sub('q') if depth < 2 else f'depth {depth}'")).value

    parent = local(tools={"sub": ForkingTool(sub), "deeper": ForkingTool(deeper)})
    assert "depth 2" in parent.run("depth = 0\nsub('q')").text()


def test_a_child_is_spawned_where_threads_are_alive_and_says_what_it_lacks(local: Local) -> None:
    parent = local(tools={"ask": lambda: "tool"})
    big = "z" * 2_000_000
    parent.put("big", big)
    made = "class Pair:\n    def __init__(self, a): self.a = a\n    def double(self): return self.a * factor"
    parent.run(f"{made}\nfactor = 3\npair, kept, items = Pair(2), ask, [1, 2]\ndef f(): return factor * items[0]")
    parent.run(THREAD)
    child = parent.fork()
    assert isinstance(child, LocalSandbox)
    assert (child.started_by, child.dropped) == ("spawn", ("stop", "thread"))
    assert child.run("factor = 5\npair.double(), f(), kept(), ask(), len(big), 'stop' in globals()").value == (
        "(10, 5, 'tool', 'tool', 2000000, False)"
    )
    assert child.run("items.append(3); isinstance(pair, Pair)").value == "True"
    assert parent.run("len(items), factor").value == "(2, 3)"
    parent.run("stop.set(); thread.join()")
    again = parent.fork()
    assert isinstance(again, LocalSandbox)
    assert (again.started_by, again.dropped) == ("fork", ())


def test_variables_that_fail_on_arrival_are_an_error_with_the_reason(local: Local) -> None:
    parent = local()
    parent.run(
        f"def fail(): raise ValueError('no way in')\nclass Trap:\n    def __reduce__(self): return fail, ()\n{THREAD}"
    )
    parent.run("trap = Trap()")
    with pytest.raises(SandboxError, match="ValueError: no way in"):
        parent.fork()
    assert parent.run("1 + 1").value == "2"
