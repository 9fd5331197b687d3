"""Where control groups are delegated, the kernel holds a sandbox as a whole to its limits.

Few machines that run tests delegate any, so these boot a kernel of their own: User Mode Linux, an ordinary program,
with this file system, read-only. Where it cannot be had or may not run, they are skipped and say so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from fleet_rlm.sandbox import cgroup
from fleet_rlm.sandbox.limits import Limits
from tests.sandbox import own_kernel

LIMITS = Limits(memory=1 << 30, file_size=None, processes=8, cpu=None, disk=None)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened on that machine."""
    if shutil.which("linux.uml") is None:
        pytest.skip("no User Mode Linux here (Debian's user-mode-linux), so the limits by cgroup are not tested")
    home = tmp_path_factory.mktemp("uml")
    init = home / "init"
    paths = os.pathsep.join(sys.path)
    init.write_text(
        f"#!/bin/sh\nexport PATH=/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='{paths}'\n"
        f"exec '{sys.executable}' '{own_kernel.__file__}'\n"
    )
    init.chmod(0o755)
    disk, console = "root=/dev/root rootfstype=hostfs rootflags=/ ro", "con=null con0=fd:0,fd:1 ssl=null quiet"
    machine = subprocess.run(
        ["linux.uml", "mem=1024M", *disk.split(), *console.split(), f"init={init}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)},
        timeout=120,
    )
    text = machine.stdout.decode(errors="replace")
    if own_kernel.BOOTED not in text:
        pytest.skip(f"User Mode Linux does not boot here, so the limits by cgroup are not tested:\n{text[-2000:]}")
    lines = [line for line in text.splitlines() if line.startswith(own_kernel.RESULT)]
    assert lines, text
    told: dict[str, Any] = json.loads(lines[0].removeprefix(own_kernel.RESULT))
    assert "failed" not in told, told["failed"]
    return told


@pytest.mark.parametrize("excess", ["pieces", "memory file"])
def test_memory_is_limited_over_all_processes_and_memory_files_and_never_passed(
    seen: dict[str, Any], excess: str
) -> None:
    why, peak, _ = seen[excess]
    assert "its processes together used more than 200 MB" in why
    assert 150 < peak <= 200


@pytest.mark.parametrize("excess", ["pieces", "memory file"])
def test_a_checkpoint_outlives_a_sandbox_that_the_kernel_ended(seen: dict[str, Any], excess: str) -> None:
    assert seen[excess][2] == "'kept'"


def test_threads_and_processes_are_limited_together(seen: dict[str, Any]) -> None:
    assert 30 < seen["threads"] < cgroup.TASKS * 16


def test_each_sandbox_has_a_group_of_its_own_which_ends_with_it(seen: dict[str, Any]) -> None:
    assert seen["groups"] == 3
    assert seen["left after closing"] == []


def test_a_killed_host_leaves_no_group(seen: dict[str, Any]) -> None:
    assert seen["left after a kill"] == []


def test_the_report_says_who_sees_to_the_sums() -> None:
    assert "sum by cgroup" in LIMITS.guarantee(grouped=True)
    assert "sum by watchdog" in LIMITS.guarantee(grouped=False)
    assert "no cgroup" in LIMITS.missing(grouped=False)


def test_what_is_not_marked_as_delegated_is_left_alone(seen: dict[str, Any]) -> None:
    assert seen["without the mark"] is None
