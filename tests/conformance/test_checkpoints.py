"""A checkpoint outlives its sandbox, costs the code nothing it can see, and ends with the family."""

from __future__ import annotations

import os

import pytest

from fleet_rlm.core.loop import run_sync
from fleet_rlm.sandbox import watchdog
from fleet_rlm.sandbox.errors import CheckpointLost, SandboxBusy, SandboxClosed, SandboxDied, ThreadsAlive
from fleet_rlm.sandbox.local import LocalSandbox
from tests.conformance.backends import THREAD, Local


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
def test_a_checkpoint_outlives_the_death_of_its_sandbox(local: Local, death: str) -> None:
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


def test_a_checkpoint_can_be_restored_again_and_those_restored_go_on_without_it(local: Local) -> None:
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


def test_a_checkpoint_is_no_process_of_the_code(local: Local) -> None:
    sandbox = local(max_processes=2)  # itself, and a fork that only starts a checkpoint and ends
    sandbox.start()
    for _ in range(3):
        sandbox.checkpoint()
    result = sandbox.run(
        "import os, time\ntime.sleep(0.3)\ntry: os.wait()\nexcept ChildProcessError: print('childless')"
    )
    assert result.printed == "childless\n"


def test_what_is_just_being_forked_is_not_held_against_the_limit(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "IDLE_S", 0.0)  # it looks all the time, so it sees each fork half-way
    sandbox = local(max_processes=2)  # itself, and what only started a checkpoint and ended
    sandbox.start()
    for _ in range(30):
        sandbox.checkpoint()
        sandbox.fork()
    assert sandbox.run("'alive'").value == "'alive'"


def test_checkpoints_and_restored_sandboxes_end_with_their_family(local: Local) -> None:
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


def test_no_checkpoint_is_taken_of_running_code_or_live_threads(local: Local) -> None:
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


def test_many_files_stay_with_the_predecessor_where_they_can_be_read(local: Local) -> None:
    sandbox = local()
    sandbox.run("import os\nwith open('big', 'wb') as file: file.truncate(65 << 20)")
    restored = sandbox.restore(sandbox.checkpoint())
    assert restored.files_left == sandbox.workdir
    assert isinstance(restored, LocalSandbox)
    assert restored.run(f"os.path.exists('big'), os.path.getsize({str(sandbox.workdir / 'big')!r})").value == (
        f"(False, {65 << 20})"
    )
