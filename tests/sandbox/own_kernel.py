"""The first process of a User Mode Linux kernel: has control groups delegated, as systemd does it, and provokes them.

Run by `test_cgroup.py` as `init`; what happened is printed as one line of JSON, then the machine is switched off.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RESULT = "seen: "
BOOTED = "the kernel of the tests runs"
ROOT = Path("/sys/fs/cgroup")
UNIT = ROOT / "unit"
POWER_OFF = 0x4321FEDC
PIECES = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        held = bytearray(100 << 20)
        for at in range(0, len(held), 4096): held[at] = 1
        time.sleep(60)
time.sleep(60)
"""
MEMORY_FILE = "import os\nfd = os.memfd_create('hidden')\nwhile True: os.write(fd, bytes(1 << 20))"
THREADS = """
import threading, time
held = threading.Event()
started = 0
try:
    while started < 200:
        threading.Thread(target=held.wait, daemon=True).start()
        started += 1
except RuntimeError:
    pass
held.set()
started
"""


def prepare() -> None:
    libc = ctypes.CDLL(None)
    Path("/dev/shm").mkdir(exist_ok=True)
    for kind, at in (("proc", "/proc"), ("sysfs", "/sys"), ("cgroup2", str(ROOT)), ("tmpfs", "/dev/shm")):
        assert libc.mount(kind.encode(), at.encode(), kind.encode(), 0, None) == 0, at
    (ROOT / "cgroup.subtree_control").write_text("+memory +pids")
    (UNIT / "host").mkdir(parents=True)
    os.environ.update(TMPDIR="/dev/shm", HOME="/dev/shm")


def provoked() -> dict[str, object]:
    """As a process of the delegated unit: what became of each excess."""
    (UNIT / "host" / "cgroup.procs").write_text("0")
    from fleet_rlm.sandbox import cgroup
    from fleet_rlm.sandbox.errors import SandboxDied
    from fleet_rlm.sandbox.local import LocalSandbox

    def end(sandbox: LocalSandbox, code: str) -> str:
        try:
            return sandbox.run(code).text()
        except SandboxDied as died:
            return str(died)

    seen: dict[str, object] = {"without the mark": cgroup.delegated()}
    os.setxattr(UNIT, "user.delegate", b"1")
    for name, code in (("pieces", PIECES), ("memory file", MEMORY_FILE)):
        with LocalSandbox(tier="process", memory_mb=200) as sandbox:
            sandbox.run("kept = 'kept'")
            checkpoint = sandbox.checkpoint()
            assert sandbox._link is not None
            assert sandbox._link._group is not None
            group = sandbox._link._group.path
            why = end(sandbox, code)
            peak = int((group / "memory.peak").read_text()) >> 20
            restored = sandbox.restore(checkpoint)
            assert isinstance(restored, LocalSandbox)
            seen[name] = [why, peak, restored.run("kept").value]
    with LocalSandbox(tier="process", max_processes=16) as sandbox:
        seen["threads"] = int(end(sandbox, THREADS))
        with sandbox.fork() as child:  # type: ignore[attr-defined]
            seen["groups"] = len({own(process) for process in (sandbox.pid, child.pid, os.getpid())})
            assert sandbox._template is not None
            assert sandbox._template.groups is not None
            subtree = sandbox._template.groups.path
    seen["left after closing"] = [path.name for path in subtree.iterdir() if path.is_dir()]
    return seen


def own(pid: int | None) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text()


def killed() -> list[str]:
    """What a host that is killed leaves behind."""
    host = subprocess.Popen([sys.executable, __file__, "host"], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert host.stdout.readline() == "ready\n"
    host.kill()
    host.wait()
    deadline = time.monotonic() + 10
    while (left := [path.name for path in UNIT.glob("fleet-*")]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def host() -> None:
    (UNIT / "host" / "cgroup.procs").write_text("0")
    from fleet_rlm.sandbox.local import LocalSandbox

    sandbox = LocalSandbox(tier="process")
    sandbox.run("import subprocess; subprocess.Popen(['sleep', '60'])")
    kept = [sandbox.fork(), sandbox.checkpoint()]
    print("ready", flush=True)
    signal.pause()
    del kept


def main() -> None:
    if os.getpid() != 1:
        host() if sys.argv[1:] == ["host"] else print(json.dumps(provoked()))
        return
    print(BOOTED, flush=True)
    try:
        prepare()
        inner = subprocess.run([sys.executable, __file__, "inner"], capture_output=True, text=True)
        told = json.loads(inner.stdout) if inner.returncode == 0 else {"failed": inner.stderr}
        told["left after a kill"] = killed()
        print(RESULT + json.dumps(told), flush=True)
    finally:
        ctypes.CDLL(None).reboot(POWER_OFF)


if __name__ == "__main__":
    main()
