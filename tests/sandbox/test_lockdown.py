"""Confinement on kernels older than this one, and the reports it gives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fleet_rlm.sandbox.base import IsolationReport
from fleet_rlm.sandbox.guest import seccomp

OLD_KERNEL = """
import os, subprocess, sys, tempfile
from fleet_rlm.sandbox.guest import lockdown
root = tempfile.mkdtemp(dir=sys.argv[2])
abi = int(sys.argv[1])
report = lockdown.lock(root, tuple(sys.path) + (sys.prefix, sys.base_prefix), namespaces=False, abi_limit=abi)
lockdown.narrow(root, (sys.base_prefix,), namespaces=False, abi=report["abi"])
def refused(action):
    try:
        action()
    except PermissionError:
        return True
    return False
print(report["abi"], report["guarantees"]["signals"])
print(refused(lambda: os.kill(os.getppid(), 0)), refused(lambda: open("/etc/passwd")))
print(refused(lambda: open(root + "/x", "w")), refused(lambda: os.listdir("/")))
"""


@pytest.mark.parametrize("abi", [1, 3, 5])
def test_older_landlock_is_helped_out_by_the_filter(abi: int, tmp_path: object) -> None:
    command = [sys.executable, "-c", OLD_KERNEL, str(abi), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == [f"{abi} seccomp", "True True", "False True"]


@pytest.mark.parametrize("machine", list(seccomp.AUDIT_ARCH))
@pytest.mark.parametrize("own_pid", [None, 7])
def test_the_filter_fits_the_kernels_limits(machine: str, own_pid: int | None) -> None:
    code = seccomp.program(machine, own_pid=own_pid)
    assert len(code) < 4096
    for index, (kind, yes, no, _) in enumerate(code):
        if kind & 0x07 == 0x05:  # a jump must land inside the program
            assert index + 1 + max(yes, no) < len(code)
    assert code[-1] == (seccomp.RETURN, 0, 0, seccomp.ALLOW)


def test_a_report_is_one_sentence() -> None:
    report = IsolationReport("confined", {"files": "Landlock", "network": "seccomp"}, ("kernel bugs",))
    assert report.summary() == "confined: files, network; not protected: kernel bugs"
    assert IsolationReport("process").summary() == "process: no confinement; the code can do what you can do"
