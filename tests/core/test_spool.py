"""The spool: whole lines, one process at a time, and nothing of a line that was cut in mid-write."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.spool import Spool

HOLD = """
import pathlib, sys
from fleet_rlm.core.spool import Spool
spool = Spool(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_lines_are_appended_whole_and_private_to_their_user(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for line in (b"one", b"two" * 100_000):
        spool = Spool(path)
        spool.write(line)
        spool.close()
    assert path.read_bytes() == b"one\n" + b"two" * 100_000 + b"\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_writer_is_refused_whether_here_or_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "run-7" / "events.jsonl"
    path.parent.mkdir()
    spool = Spool(path)
    with pytest.raises(UserError, match="run run-7 is still going on; stop it where it was started"):
        Spool(path)
    spool.close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="still going on"):
            Spool(path)
        other.kill()
        other.wait(10)
        Spool(path).close()


def test_reading_the_file_meanwhile_does_not_let_go_of_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    spool = Spool(path)
    path.read_bytes()
    with pytest.raises(UserError):
        Spool(path)
    spool.close()


@pytest.mark.parametrize(
    ("held", "left"),
    [
        (b"one\ntwo\n", b"one\ntwo\n"),
        (b"one\ntw", b"one\n"),
        (b"one\n" + b"x" * 200_000, b"one\n"),
        (b"x" * 65_535 + b"\n" + b"y" * 65_536, b"x" * 65_535 + b"\n"),
        (b"never whole", b""),
        (b"", b""),
    ],
)
def test_a_line_without_its_end_is_taken_off(held: bytes, left: bytes, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(held)
    spool = Spool(path)
    spool.cut_to_whole_lines()
    spool.write(b"next")
    spool.close()
    assert path.read_bytes() == left + b"next\n"


def test_a_disk_that_fills_up_in_the_middle_of_a_line_is_an_error(tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    spool = Spool(tmp_path / "events.jsonl")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, old[1]))
        with pytest.raises(OSError, match="File too large"):
            spool.write(b"longer than ten bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    spool.cut_to_whole_lines()
    spool.write(b"later")
    spool.close()
    assert (tmp_path / "events.jsonl").read_bytes() == b"later\n"


def test_a_child_that_was_forked_and_outlives_its_parent_is_not_mistaken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    code = (
        "import os, sys, pathlib\nfrom fleet_rlm.core.spool import Spool\n"
        f"spool = Spool(pathlib.Path({str(path)!r}))\n"
        "if os.fork() == 0:\n    print('forked', flush=True)\n    sys.stdin.read()\n    os._exit(0)\n"
        "os.kill(os.getpid(), 9)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"forked\n"
        assert os.waitstatus_to_exitcode(os.waitpid(parent.pid, 0)[1]) == -signal.SIGKILL
        parent.returncode = -signal.SIGKILL
        Spool(path).close()
