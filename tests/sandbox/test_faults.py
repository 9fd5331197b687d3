"""What goes wrong in a sandbox stays there, is explained, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleet_rlm.sandbox import template as templates
from fleet_rlm.sandbox.errors import SandboxDied, SandboxUnavailable
from fleet_rlm.sandbox.family import LocalCheckpoint
from fleet_rlm.sandbox.guest import lockdown
from fleet_rlm.sandbox.local import LocalSandbox

OWN = f"9{os.getpid()}"  # seconds that no other run of these tests sleeps, to find its processes by
TIERS = ["confined+ns", "confined", "process"]


def test_a_gigabyte_of_output_is_kept_at_both_ends_and_spooled() -> None:
    with LocalSandbox() as sandbox:
        before = int(Path("/proc/self/statm").read_text().split()[1])
        started = time.perf_counter()
        result = sandbox.run("print('start')\nline = 'x' * 1_000_000\nfor i in range(1000): print(line)\nprint('end')")
        assert time.perf_counter() - started < 20
        grown = (int(Path("/proc/self/statm").read_text().split()[1]) - before) * os.sysconf("SC_PAGESIZE")
        assert grown < 50 << 20
        assert result.truncated
        assert result.stdout.startswith("start\nxxx")
        assert result.stdout.endswith("xxx\nend\n")
        assert len(result.stdout) < 250_000
        assert "characters not shown; all output (its first 64 MB) is in artifacts/output-1.txt" in result.stdout
        assert [file.name for file in result.artifacts] == ["output-1.txt"]
        assert result.artifacts[0].bytes >= 64 << 20


def test_child_processes_that_print_too_much_are_cut_too() -> None:
    with LocalSandbox() as sandbox:
        result = sandbox.run("import subprocess; _ = subprocess.run('yes | head -c 50000000', shell=True)")
        assert "all output is in artifacts/output-1.txt" in result.stdout
        assert len(result.stdout) < 250_000
        assert result.artifacts[0].bytes == 50_000_000


def test_many_small_prints_are_bounded() -> None:
    with LocalSandbox() as sandbox:
        result = sandbox.run("for i in range(300_000): print(i)")
        assert result.stdout.startswith("0\n1\n")
        assert result.stdout.endswith("299998\n299999\n")
        assert len(result.stdout) < 250_000


def test_a_frame_too_large_to_be_honest_ends_the_sandbox() -> None:
    code = (
        "import gc, socket, struct\n"
        "for found in [o for o in gc.get_objects() if isinstance(o, socket.socket)]:\n"
        "    found.sendall(struct.pack('<IQ', 1, 1 << 60))\n"
        "import time; time.sleep(5)"
    )
    with LocalSandbox() as sandbox, pytest.raises(SandboxDied, match="more than the"):
        sandbox.run(code)


@pytest.mark.parametrize("tier", TIERS)
def test_processes_left_behind_by_a_cell_end_with_the_sandbox(tier: str) -> None:
    with LocalSandbox(tier=tier) as sandbox:
        sandbox.run(f"import subprocess\nleft = subprocess.Popen(['setsid', '-f', 'sleep', '{OWN}1'])\nleft.wait()")
        sandbox.run(f"import subprocess; subprocess.Popen(['sleep', '{OWN}2'])")
        assert settled(lambda: processes(f"sleep {OWN}"))  # a process has no command line while it is being replaced
        directory = sandbox.workdir
        assert directory.exists()
    assert settled(lambda: not processes(f"sleep {OWN}"))
    assert not directory.exists()


@pytest.mark.parametrize("tier", TIERS)
def test_a_killed_host_leaves_no_process_and_no_directory(tier: str, tmp_path: Path) -> None:
    script = f"""
import os, subprocess, sys
from fleet_rlm.sandbox.local import LocalSandbox
if __name__ == "__main__":
    sandbox = LocalSandbox(tier={tier!r})
    sandbox.run("import subprocess, os; subprocess.Popen(['setsid', '-f', 'sleep', '{OWN}3']).wait(); os.mkdir('d')")
    child = sandbox.fork()
    restored = child.restore(child.checkpoint())
    restored.run("import subprocess; subprocess.Popen(['sleep', '{OWN}3'])")
    if os.fork() == 0:  # a copy of the host that keeps its descriptors open for a while
        import signal; signal.alarm(20); signal.pause()
    print(sandbox.workdir, flush=True)
    child.run("while True: pass")
"""
    host = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert host.stdout is not None
    workdir = Path(host.stdout.readline().strip())
    assert workdir.is_dir()
    assert settled(lambda: processes(f"sleep {OWN}3"))
    host.kill()
    host.wait()
    try:
        assert settled(lambda: not processes(f"sleep {OWN}3"))
        assert settled(lambda: not processes(str(tmp_path)))
        assert settled(lambda: not list(tmp_path.iterdir())), list(tmp_path.rglob("*"))
    finally:
        os.killpg(host.pid, signal.SIGKILL)


def test_a_host_killed_while_its_template_starts_leaves_no_directory(tmp_path: Path) -> None:
    script = """
import os, signal, subprocess
from fleet_rlm.sandbox.local import LocalSandbox
class Last(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
subprocess.Popen = Last
LocalSandbox(tier="process").start()
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    host = subprocess.run([sys.executable, "-c", script], env=environment)
    assert host.returncode == -signal.SIGKILL
    assert settled(lambda: not processes(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    script = "from fleet_rlm.sandbox.local import LocalSandbox\nLocalSandbox(tier='process').start()"
    code = f"import tempfile\ntempfile.tempdir = {str(tmp_path / 'gone')!r}\n{script}"
    host = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True
    )
    assert "could not be started" in host.stderr.decode()
    assert str(tmp_path / "gone") in host.stderr.decode()


def test_a_checkpoint_shares_the_memory_of_its_sandbox() -> None:
    with LocalSandbox() as sandbox:
        sandbox.run("text = 'x' * 100_000_000")
        kept = sandbox.checkpoint()
        assert isinstance(kept, LocalCheckpoint)
        lines = Path(f"/proc/{kept.pid}/smaps_rollup").read_text().splitlines()
        own = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
        assert own < 16_384, f"{own} kB of its own"


def test_a_killed_template_is_replaced_and_its_directory_removed() -> None:
    with LocalSandbox() as sandbox:
        sandbox.start()
        template = sandbox._template
        assert template is not None
        assert template.pid is not None
        os.kill(template.pid, signal.SIGKILL)
        assert settled(lambda: not template.root.exists())
        with pytest.raises(SandboxDied):
            sandbox.run("1")
    with LocalSandbox() as fresh:
        assert fresh.run("1").value == "1"


def test_a_directory_made_unreadable_is_removed_all_the_same() -> None:
    with LocalSandbox() as sandbox:
        sandbox.run("import os; os.makedirs('a/b'); open('a/b/f', 'w'); os.mkdir('locked', 0)")
        directory = sandbox.workdir.parent
    assert not directory.exists()


def test_a_parent_cannot_misdirect_the_removal_of_its_child(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "precious").touch()
    with LocalSandbox() as parent:
        child = parent.fork()
        code = (
            f"import os\nos.chdir(os.environ['HOME'])\nos.rename('sub', 'moved')\nos.symlink({str(tmp_path)!r}, 'sub')"
        )
        assert parent.run(code).error is None
        child.shutdown()  # type: ignore[attr-defined]
    assert (tmp_path / "1" / "precious").exists()


def test_artifacts_are_read_and_kept_out_of_the_codes_reach(tmp_path: Path) -> None:
    (tmp_path / "1" / "work" / "artifacts").mkdir(parents=True)
    (tmp_path / "1" / "work" / "artifacts" / "secret").write_text("SECRET")
    with LocalSandbox() as parent:
        child = parent.fork()
        assert isinstance(child, LocalSandbox)
        child.tools["swap"] = lambda: (
            parent.run(
                "import os\nos.chdir(os.environ['HOME'])\n"
                f"os.rename('sub', 'moved')\nos.symlink({str(tmp_path)!r}, 'sub')"
            ).error
        )
        result = child.run("open('artifacts/secret', 'w').write('mine')\nswap()")
        assert [file.path.read_text() for file in result.artifacts if file.path.exists()] in ([], ["mine"])
        kept = parent.run("open('/' + 'x', 'w')").error
        assert kept is not None


def test_losing_the_artifacts_directory_is_the_cells_own_problem() -> None:
    with LocalSandbox() as sandbox:
        result = sandbox.run("import shutil\nshutil.rmtree('artifacts')\nprint('x' * 300_000)\nprint('end')")
        assert result.error is None
        assert result.stdout.endswith("end\n")
        assert "could not be written" in result.stdout
        assert sandbox.run("1").value == "1"


def test_too_much_memory_over_several_processes_is_noticed() -> None:
    code = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        held = bytearray(os.urandom(1) * (100 << 20))
        time.sleep(20)
        os._exit(0)
time.sleep(20)
"""
    with LocalSandbox(memory_mb=256) as sandbox, pytest.raises(SandboxDied, match="together used more than 256 MB"):
        sandbox.run(code)


def test_a_tier_that_cannot_be_had_names_the_reasons_and_the_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockdown, "landlock_abi", lambda: 0)
    with pytest.raises(SandboxUnavailable) as caught:
        LocalSandbox().start()
    assert "no Landlock" in str(caught.value)
    assert 'sandbox="process"' in str(caught.value)
    assert "remote sandbox" in str(caught.value)


def test_other_systems_are_told_that_local_sandboxes_need_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailable, match="need Linux"):
        LocalSandbox(tier="process").start()


def test_an_unknown_tier_is_an_error() -> None:
    with pytest.raises(ValueError, match="tier must be one of"):
        templates.template_for("strong", ())


def processes(text: str) -> list[str]:
    """Command lines on this machine that contain the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                status = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if text in command and status != "Z":
                found.append(command)
    return found


def settled(condition: object, seconds: float = 10.0) -> bool:
    """Wait for processes of others to be gone; there is no event for the death of a stranger."""
    import threading

    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.02)
    return True
