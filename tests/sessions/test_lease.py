"""A lease: one holder at a time, who is named to the others, and no holder once its process is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_rlm.sessions.errors import SessionInUse
from fleet_rlm.sessions.lease import Lease

HOLD = (
    "import sys, pathlib\nfrom fleet_rlm.sessions.lease import Lease\n"
    "lease = Lease(pathlib.Path(sys.argv[1]), 'incident')\nlease.take()\nprint('held', flush=True)\n"
)


def holding(path: Path, then: str = "sys.stdin.read()") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD + then, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with holding(tmp_path / "lease") as process:
        with pytest.raises(SessionInUse, match=f"process {process.pid} on ") as caught:
            Lease(tmp_path / "lease", "incident").take()
        assert (caught.value.pid, caught.value.host) == (process.pid, os.uname().nodename)
        process.communicate("")
    Lease(tmp_path / "lease", "incident").take()


def test_two_objects_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "lease", "incident"), Lease(tmp_path / "lease", "incident")
    first.take()
    with pytest.raises(SessionInUse, match="this process already"):
        second.take()
    first.release()
    first.release()
    second.take()


def test_the_lease_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holding(tmp_path / "lease") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        Lease(tmp_path / "lease", "incident").take()


def test_what_a_dead_process_has_forked_holds_nothing(tmp_path: Path) -> None:
    fork = "import os\npid = os.fork()\nif pid:\n    print(pid, flush=True)\n    os._exit(0)\nos.read(0, 1)"
    with holding(tmp_path / "lease", fork) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait()
        os.kill(child, 0)  # it lives, and has the descriptor of the lock
        Lease(tmp_path / "lease", "incident").take()
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("since", ["1970-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00", "yesterday"])
def test_no_clock_decides_who_holds_it(tmp_path: Path, since: str) -> None:
    path = tmp_path / "lease"
    path.write_text(json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "since": since}))
    lease = Lease(path, "incident")
    lease.take()
    with pytest.raises(SessionInUse):
        Lease(path, "incident").take()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": "x"}'])
def test_a_damaged_file_is_a_free_lease(tmp_path: Path, text: str) -> None:
    (tmp_path / "lease").write_text(text)
    Lease(tmp_path / "lease", "incident").take()
