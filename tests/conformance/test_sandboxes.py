"""One list of promises, kept by every backend; a promise is checked where the backend says it makes it."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleet_rlm.core.loop import run_sync, submit
from fleet_rlm.sandbox.base import CellResult, ForkingTool, Sandbox
from fleet_rlm.sandbox.errors import CheckpointLost, SandboxBusy, SandboxClosed, SandboxDied, SandboxError, ThreadsAlive
from fleet_rlm.sandbox.local import LocalSandbox
from tests.conformance.adapters import DspyInterpreter

LOCAL: dict[str, Callable[..., Any]] = {
    "confined+ns": lambda **options: LocalSandbox(tier="confined+ns", **options),
    "confined": lambda **options: LocalSandbox(tier="confined", **options),
    "process": lambda **options: LocalSandbox(tier="process", **options),
}
ALL = {**LOCAL, "dspy LocalInterpreter": DspyInterpreter}
Make = Callable[..., Any]


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    sandboxes: list[Any] = []
    yield sandboxes
    for sandbox in sandboxes:
        sandbox.shutdown()


@pytest.fixture(params=ALL)
def make(request: pytest.FixtureRequest, opened: list[Any]) -> Make:
    """Creates sandboxes of any backend."""

    def create(**options: Any) -> Any:
        opened.append(ALL[request.param](**options))
        return opened[-1]

    return create


@pytest.fixture(params=LOCAL)
def local(request: pytest.FixtureRequest, opened: list[Any]) -> Callable[..., LocalSandbox]:
    """Creates sandboxes of our own tiers."""

    def create(**options: Any) -> LocalSandbox:
        opened.append(LOCAL[request.param](**options))
        made: LocalSandbox = opened[-1]
        return made

    return create


# ---- lifecycle and state


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


def test_variables_arrive(make: Make) -> None:
    sandbox = make()
    assert "7" in sandbox.run("a + len(b)", {"a": 3, "b": ["x"] * 4}).text()


def test_a_closed_sandbox_says_so(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    sandbox.start()
    sandbox.shutdown()
    with pytest.raises(SandboxClosed):
        sandbox.run("1")


# ---- what a cell gives back


def test_prints_and_value_and_traceback_are_all_kept(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    assert sandbox.run("print('before')\n6 * 7").text() == "before\n42"
    failed = sandbox.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nvalue = {}\nvalue['missing']\n")
    assert failed.printed == "out\nerr\n"
    assert failed.stdout == "out\n"
    assert failed.stderr == "err\n"
    assert failed.error is not None
    assert failed.error.type == "KeyError"
    assert "value['missing']" in failed.error.traceback
    assert "line 5" in failed.error.traceback
    assert "session.py" not in failed.error.traceback
    assert failed.text().startswith("out\nerr\nTraceback")


def test_output_of_child_processes_is_captured(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    result = sandbox.run("import subprocess\nprint(1)\n_ = subprocess.run(['echo', 'two'])\nprint(3)")
    assert result.printed == "1\ntwo\n3\n"


def test_output_is_streamed_while_the_cell_runs(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    heard: list[tuple[str, str]] = []
    first = threading.Event()

    def listen(stream: str, text: str) -> None:
        heard.append((stream, text))
        first.set()

    def proceed() -> None:
        assert first.wait(10), "nothing was heard before the cell ended"

    sandbox.tools["proceed"] = proceed
    result: CellResult = run_sync(
        sandbox.aexecute("print('early')\nproceed()\nfor i in range(1000): print(i)", on_output=listen)
    )
    assert "".join(text for _, text in heard) == result.printed
    assert len(heard) < 50  # batches, not one message per write


def test_top_level_await_works(local: Callable[..., LocalSandbox]) -> None:
    assert local().run("import asyncio\nawait asyncio.sleep(0, 'done')").value == "'done'"


def test_rich_objects_and_files_come_back(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    code = """
class Rich:
    def _repr_html_(self): return '<b>rich</b>'
    def _repr_png_(self): return b'png'
    def __repr__(self): return 'Rich()'
display(Rich())
open('artifacts/table.csv', 'w').write('a,b')
Rich()
"""
    result = sandbox.run(code)
    assert [shown["text/html"] for shown in result.displays] == ["<b>rich</b>"] * 2
    assert result.displays[0]["image/png"] == "cG5n"
    assert [(file.name, file.bytes, file.path.read_text()) for file in result.artifacts] == [("table.csv", 3, "a,b")]
    assert sandbox.run("1").artifacts == []


def test_symbolic_links_among_the_artifacts_are_not_followed(local: Callable[..., LocalSandbox]) -> None:
    links = "os.symlink('/etc/passwd', 'artifacts/a'); os.symlink('/etc', 'artifacts/b')"
    code = f"import os\n{links}\nopen('artifacts/c', 'w')"
    result = local().run(code)
    assert [file.name for file in result.artifacts] == ["c"]


# ---- SUBMIT


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
def test_a_wrong_submission_raises_in_the_code(local: Callable[..., LocalSandbox], call: str, fault: str) -> None:
    result = local(output_fields=[{"name": "answer", "type": "str"}]).run(call)
    assert result.submitted is None
    assert result.error is not None
    assert fault in result.error.message


def test_what_cannot_leave_is_named(local: Callable[..., LocalSandbox]) -> None:
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
def test_a_swallowed_submit_still_ends_the_cell(local: Callable[..., LocalSandbox], code: str) -> None:
    sandbox = local(timeout=5)
    assert sandbox.run(code).submitted == {"output": "x"}
    assert sandbox.run("1 + 1").value == "2"


def test_a_submission_is_not_lost_on_a_busy_machine(local: Callable[..., LocalSandbox]) -> None:
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


# ---- tools


def test_tools_are_called_and_revoked(make: Make) -> None:
    sandbox = make(tools={"double": lambda x: x * 2})
    assert "42" in sandbox.run("print(double(21))").text()
    sandbox.run("kept = double")
    del sandbox.tools["double"]
    assert sandbox.run("double(1)").error is not None
    assert sandbox.run("kept(1)").error is not None


def test_a_failing_tool_raises_in_the_code(local: Callable[..., LocalSandbox]) -> None:
    class QuotaExceeded(Exception):
        pass

    def fail(kind: str) -> None:
        raise {"value": ValueError, "quota": QuotaExceeded}[kind](f"no {kind}")

    sandbox = local(tools={"fail": fail})
    code = "try:\n    fail('value')\nexcept ValueError as error:\n    print('caught', error)\nfail('quota')"
    result = sandbox.run(code)
    assert result.printed == "caught no value\n"
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("QuotaExceeded", "no quota")


def test_exceptions_in_a_result_stay_exceptions(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local(tools={"both": lambda: ["fine", KeyError("lost"), 3]})
    assert sandbox.run("[type(x).__name__ for x in both()]").value == "['str', 'KeyError', 'int']"


def test_async_and_sync_tools_see_the_callers_context_variables(local: Callable[..., LocalSandbox]) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    async def asked_async() -> str:
        return who.get()

    sandbox = local(tools={"asked": lambda: who.get(), "asked_async": asked_async})
    who.set("somebody")
    assert sandbox.run("asked(), asked_async()").value == "('somebody', 'somebody')"


def test_calls_from_threads_run_concurrently(make: Make) -> None:
    together = threading.Barrier(8, timeout=10)

    def meet(i: int) -> int:
        together.wait()
        return i

    sandbox = make(tools={"meet": meet})
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool: found = list(pool.map(meet, range(8)))\nprint(found)"
    )
    assert "[0, 1, 2, 3, 4, 5, 6, 7]" in sandbox.run(code).text()


def test_large_text_and_bytes_cross_both_ways(local: Callable[..., LocalSandbox]) -> None:
    text = "x\0\ud800é" * 500_000
    sandbox = local(tools={"echo": lambda value: value})
    sandbox.put("text", text)
    assert sandbox.run("echo(text) == text, echo(text.encode('utf-8', 'replace')[:2_000_000]) is not None").value == (
        "(True, True)"
    )
    assert sandbox.get("text") == text


# ---- interrupt, deadline, cancellation


def test_a_deadline_interrupts_and_keeps_the_variables(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local(timeout=0.2)
    result = sandbox.run("x = 5\nprint('kept')\nwhile True: pass")
    assert result.error is not None
    assert result.error.type == "CellTimeout"
    assert result.printed == "kept\n"
    assert sandbox.run("x").value == "5"


def test_waiting_for_a_tool_does_not_count_against_the_deadline(local: Callable[..., LocalSandbox]) -> None:
    async def slow() -> str:
        await asyncio.sleep(0.5)
        return "late"

    assert local(timeout=0.3, tools={"slow": slow}).run("slow()").value == "'late'"


def test_a_cell_that_swallows_interrupts_is_stopped_all_the_same(local: Callable[..., LocalSandbox]) -> None:
    swallow = "try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        n += 1"
    code = f"import time\nn = 0\nwhile n < 3:\n    {swallow}"
    result = local(timeout=0.2).run(code)
    assert result.error is not None
    assert result.error.type == "CellTimeout"


def test_a_cell_that_cannot_be_interrupted_is_killed_with_the_reason(
    local: Callable[..., LocalSandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_rlm.sandbox.cells.GRACE_S", 0.4)
    sandbox = local(timeout=0.1)
    with pytest.raises(SandboxDied, match=r"ran for more than 0.1 s, and could not be interrupted"):
        sandbox.run("sum(range(10 ** 12))")
    with pytest.raises(SandboxDied):
        sandbox.run("1")


def test_an_interrupt_ends_the_cell(local: Callable[..., LocalSandbox]) -> None:
    started = threading.Event()
    sandbox = local(tools={"started": started.set})
    future = submit(sandbox.aexecute("started()\nwhile True: pass"))
    assert started.wait(10)
    sandbox.interrupt()
    error = future.result(10).error
    assert error is not None
    assert error.type == "KeyboardInterrupt"
    assert sandbox.run("1 + 1").value == "2"


@pytest.mark.parametrize("code", ["while True: pass", "wait()", "import time; time.sleep(60)"])
def test_cancelling_returns_at_once_and_leaves_a_usable_sandbox(local: Callable[..., LocalSandbox], code: str) -> None:
    started = threading.Event()

    async def wait() -> None:
        await asyncio.sleep(60)

    sandbox = local(tools={"started": started.set, "wait": wait})
    sandbox.run("x = 1")
    future = submit(sandbox.aexecute(f"started()\n{code}"))
    assert started.wait(10)
    before = time.perf_counter()
    future.cancel()
    assert sandbox.run("x + 1").value == "2"
    assert time.perf_counter() - before < 1.5


def test_no_tool_starts_after_a_cancellation(local: Callable[..., LocalSandbox]) -> None:
    seen: list[int] = []
    first = threading.Event()

    async def ask(i: int) -> int:
        seen.append(i)
        first.set()
        await asyncio.sleep(60)
        return i

    sandbox = local(tools={"ask": ask})
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as pool: list(pool.map(ask, range(50)))"
    )
    future = submit(sandbox.aexecute(code))
    assert first.wait(10)
    future.cancel()
    assert sandbox.run("1 + 1").value == "2"
    assert len(seen) <= 2


def test_one_cell_at_a_time(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    sandbox.tools["again"] = lambda: sandbox.run("1")
    error = sandbox.run("again()").error
    assert error is not None
    assert error.type == SandboxBusy.__name__


def test_a_guest_that_exits_is_reported(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    with pytest.raises(SandboxDied, match="exited with status 3"):
        sandbox.run("import os; os._exit(3)")


def test_exit_and_input_do_not_end_the_sandbox(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    assert sandbox.run("import sys; sys.exit(1)").error is not None
    assert sandbox.run("input()").error is not None
    assert sandbox.run("1").value == "1"


# ---- forks


def test_a_child_has_the_variables_and_changes_only_its_own(local: Callable[..., LocalSandbox]) -> None:
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


def test_a_forking_tool_gives_the_handler_a_child_with_the_passed_object(local: Callable[..., LocalSandbox]) -> None:
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


def test_batched_forks_run_together_and_keep_their_order(local: Callable[..., LocalSandbox]) -> None:
    async def sub(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        result = await child.aexecute("context * 10")
        if prompt == "bad":
            raise ValueError("bad prompt")
        return int(result.value or 0)

    parent = local(tools={"many": ForkingTool(sub, batched=True)})
    assert parent.run("many(['a', 'b', 'c'], [1, 2, 3])").value == "[10, 20, 30]"
    error = parent.run("many(['a', 'bad'], [1, 2])").error
    assert error is not None
    assert error.type == "ExceptionGroup"
    assert "1 of 2 many items failed" in error.message
    assert parent.run("many(['a', 'bad'], [1, 2], return_exceptions=True)[0]").value == "10"


def test_forking_tools_may_be_called_from_threads_of_the_cell(local: Callable[..., LocalSandbox]) -> None:
    async def sub(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        return (await child.aexecute("context")).value

    parent = local(tools={"sub": ForkingTool(sub)})
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: found = list(pool.map(lambda i: sub('q', i), range(6)))\nfound"
    )
    assert parent.run(code).value == "['0', '1', '2', '3', '4', '5']"


def test_a_child_that_dies_is_an_exception_in_the_parents_code(local: Callable[..., LocalSandbox]) -> None:
    async def sub(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        return (await child.aexecute("import os; os._exit(1)")).text()

    error = local(tools={"sub": ForkingTool(sub)}).run("sub('q')").error
    assert error is not None
    assert error.type == "SandboxDied"


def test_a_child_may_run_cells_while_its_parent_waits(local: Callable[..., LocalSandbox]) -> None:
    async def sub(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        return (await child.aexecute("deeper('again') if depth < 2 else depth")).value

    async def deeper(fork: Callable[[], Any], prompt: str) -> Any:
        child: Sandbox = await fork()
        await child.aexecute("depth += 1")
        return (await child.aexecute("sub('q') if depth < 2 else f'depth {depth}'")).value

    parent = local(tools={"sub": ForkingTool(sub), "deeper": ForkingTool(deeper)})
    assert "depth 2" in parent.run("depth = 0\nsub('q')").text()


# ---- children where a fork is unsafe

THREAD = (
    "import threading\nstop = threading.Event()\n"
    "thread = threading.Thread(target=stop.wait, daemon=True)\nthread.start()"
)


def test_a_child_is_spawned_where_threads_are_alive_and_says_what_it_lacks(
    local: Callable[..., LocalSandbox],
) -> None:
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


def test_variables_that_fail_on_arrival_are_an_error_with_the_reason(local: Callable[..., LocalSandbox]) -> None:
    parent = local()
    parent.run(
        f"def fail(): raise ValueError('no way in')\nclass Trap:\n    def __reduce__(self): return fail, ()\n{THREAD}"
    )
    parent.run("trap = Trap()")
    with pytest.raises(SandboxError, match="ValueError: no way in"):
        parent.fork()
    assert parent.run("1 + 1").value == "2"


# ---- checkpoints


@pytest.mark.parametrize(
    "death",
    [
        "import os; os._exit(3)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.killpg(0, signal.SIGKILL)",
        "import ctypes; ctypes.string_at(0)",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    ],
)
def test_a_checkpoint_outlives_the_death_of_its_sandbox(local: Callable[..., LocalSandbox], death: str) -> None:
    sandbox = local(max_processes=20, tools={"ask": lambda: "tool"})
    sandbox.put("big", "z" * 2_000_000)
    sandbox.run("numbers = (i for i in range(9))\nkept = ask\nopen('note', 'w').write('on disk')")
    kept = sandbox.checkpoint()
    sandbox.run("next(numbers)")
    with pytest.raises(SandboxDied):
        sandbox.run(f"numbers = None\n{death}")
    restored = sandbox.restore(kept)
    assert isinstance(restored, LocalSandbox)
    assert restored.run("next(numbers), len(big), open('note').read(), ask(), kept()").value == (
        "(0, 2000000, 'on disk', 'tool', 'tool')"
    )
    assert restored.started_by == "fork"
    assert restored.files_left is None


def test_a_checkpoint_can_be_restored_again_and_those_restored_go_on_without_it(
    local: Callable[..., LocalSandbox],
) -> None:
    sandbox = local()
    sandbox.run("items = [1]\nopen('artifacts/old', 'w').write('x')")
    kept = sandbox.checkpoint()
    sandbox.run("items.append(2)")
    one, other = sandbox.restore(kept), sandbox.restore(kept)
    assert isinstance(one, LocalSandbox)
    assert isinstance(other, LocalSandbox)
    assert one.run("items.append('one'); items").value == "[1, 'one']"
    run_sync(kept.aclose())
    run_sync(kept.aclose())
    assert other.run("items").value == "[1]"
    assert one.run("open('artifacts/new', 'w').write('y')").artifacts[0].name == "new"
    assert sandbox.run("items").value == "[1, 2]"
    with pytest.raises(CheckpointLost):
        sandbox.restore(kept)
    again = one.restore(one.checkpoint())
    assert isinstance(again, LocalSandbox)
    assert again.run("items").value == "[1, 'one']"


def test_a_checkpoint_is_no_process_of_the_code(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local(max_processes=2)  # itself, and a fork that only starts a checkpoint and ends
    sandbox.start()
    for _ in range(3):
        sandbox.checkpoint()
    result = sandbox.run(
        "import os, time\ntime.sleep(0.3)\ntry: os.wait()\nexcept ChildProcessError: print('childless')"
    )
    assert result.printed == "childless\n"


def test_checkpoints_and_restored_sandboxes_end_with_their_family(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    child = sandbox.fork()
    assert isinstance(child, LocalSandbox)
    kept = child.checkpoint()
    with pytest.raises(SandboxDied):
        child.run("import os; os._exit(1)")
    restored = child.restore(kept)
    assert isinstance(restored, LocalSandbox)
    pids = [kept.pid, restored.pid]  # type: ignore[attr-defined]
    assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
    sandbox.shutdown()
    assert not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids)
    with pytest.raises(SandboxClosed):
        restored.run("1")


def test_no_checkpoint_is_taken_of_running_code_or_live_threads(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    sandbox.tools["keep"] = lambda: sandbox.checkpoint()
    error = sandbox.run("keep()").error
    assert error is not None
    assert error.type == SandboxBusy.__name__
    sandbox.run(THREAD)
    with pytest.raises(ThreadsAlive, match="Thread-"):
        sandbox.checkpoint()
    sandbox.run("stop.set(); thread.join()\nSUBMIT('x')")
    sandbox.checkpoint()


def test_many_files_stay_with_the_predecessor_where_they_can_be_read(local: Callable[..., LocalSandbox]) -> None:
    sandbox = local()
    sandbox.run("import os\nwith open('big', 'wb') as file: file.truncate(65 << 20)")
    restored = sandbox.restore(sandbox.checkpoint())
    assert restored.files_left == sandbox.workdir
    assert isinstance(restored, LocalSandbox)
    assert restored.run(f"os.path.exists('big'), os.path.getsize({str(sandbox.workdir / 'big')!r})").value == (
        f"(False, {65 << 20})"
    )
