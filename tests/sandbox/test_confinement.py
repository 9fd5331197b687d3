"""What generated code cannot do: every wall tried from inside, in a sandbox and in its forked child, at every tier,
and on an account without privileges."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_rlm.sandbox.local import LocalSandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="local confinement is Linux's")

HELPERS = """
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(*args):
    result = libc.syscall(*[ctypes.c_long(a) for a in args])
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
"""

# name -> code that must raise PermissionError, given `outside` (a directory), `host` (a pid), `port`, `unix` (a path)
DENIED = {
    "read_password_file": "open('/etc/passwd').read()",
    "read_shadow_file": "open('/etc/shadow').read()",
    "list_home": "os.listdir(home)",
    "list_root_directory": "os.listdir('/')",
    "read_file_outside": "open(outside + '/secret').read()",
    "write_file_outside": "open(outside + '/new', 'w')",
    "remove_file_outside": "os.unlink(outside + '/secret')",
    "rename_file_outside": "os.rename(outside + '/secret', outside + '/other')",
    "truncate_file_outside": "os.truncate(outside + '/secret', 0)",
    "link_file_outside": "os.link(outside + '/secret', 'stolen')",
    "mode_of_file_outside": "syscall(*((90, addr, 0o777) if x86 else (53, -100, addr, 0o777)))",
    "owner_of_file_outside": "os.chown(outside + '/secret', os.getuid(), os.getgid())",
    "times_of_file_outside": "syscall(280 if x86 else 88, -100, addr, 0, 0)",
    "mode_of_readable_file": "os.fchmod(os.open(os.__file__, os.O_RDONLY), 0o644)",
    "write_python_library": "open(os.__file__, 'a')",
    "watch_directory_outside": "syscall(254 if x86 else 27, libc.inotify_init1(0), addr, 0xfff)",
    "shared_memory_of_host": "open('/dev/shm/' + shm)",
    "environment_of_init": "open('/proc/1/environ').read()",
    "environment_of_host": "open(f'/proc/{host}/environ').read()",
    "memory_of_host": "open(f'/proc/{host}/mem', 'rb')",
    "tcp_connect": "socket.create_connection(('127.0.0.1', port), 2)",
    "tcp_socket": "socket.socket()",
    "tcp6_socket": "socket.socket(socket.AF_INET6)",
    "udp_socket": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "unix_socket": "socket.socket(socket.AF_UNIX).connect(unix)",
    "netlink_socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "datagram_socketpair": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', unix)",
    "signal_own_through_fcntl": "__import__('fcntl').fcntl(socket.socketpair()[0], 8, 1)",
    "ptrace": "syscall(101 if x86 else 117, 16, host, 0, 0)",
    "read_memory_of_host": "syscall(310 if x86 else 270, host, 0, 0, 0, 0, 0)",
    "descriptor_of_host": "syscall(438, 0, 0, 0)",
    "limits_of_host": "__import__('resource').prlimit(host, 7, (0, 0))",
    "priority_of_host": "os.setpriority(os.PRIO_PROCESS, host, 19)",
    "mount": "syscall(165 if x86 else 40, addr, addr, 0, 4096, 0)",
    "new_namespace": "syscall(272 if x86 else 97, 0x10000000)",
    "new_namespace_by_clone": "syscall(56 if x86 else 220, 0x10000000 | 17, 0, 0, 0, 0)",
    "chroot": "os.chroot('.')",
    "io_uring": "syscall(425, 8, addr)",
    "bpf": "syscall(321 if x86 else 280, 0, addr, 64)",
    "keyring": "syscall(250 if x86 else 219, 0, -3, 0)",
    "system_v_memory": "syscall(29 if x86 else 194, 0, 4096, 0o1600)",
    "set_clock": "import time; time.clock_settime(time.CLOCK_REALTIME, 0)",
    "device": "os.mknod('device', 0o020600, os.makedev(1, 1))",
}
# other ways to be refused: an own, empty /dev/shm; Landlock calls a move out of its reach a move to another device
ALSO = {"shared_memory_of_host": "FileNotFoundError", "link_file_outside": "OSError"}


class Outside:
    """Things of the host that the code will reach for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "outside"
        self.folder.mkdir()
        (self.folder / "secret").write_text("SECRET")
        self.shm = f"fleet-test-{os.getpid()}"
        Path("/dev/shm", self.shm).write_text("SECRET")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.unix_path = f"/tmp/fleet-test-{os.getpid()}.sock"
        Path(self.unix_path).unlink(missing_ok=True)
        self.unix.bind(self.unix_path)

    def preparation(self) -> str:
        values = {
            "outside": str(self.folder),
            "home": os.path.expanduser("~"),
            "host": os.getpid(),
            "port": self.tcp.getsockname()[1],
            "unix": self.unix_path,
            "shm": self.shm,
            "x86": os.uname().machine == "x86_64",
        }
        path = "path = ctypes.create_string_buffer((outside + '/secret').encode() + bytes(200))"
        return HELPERS + f"globals().update({values!r})\n{path}\naddr = ctypes.addressof(path)"

    def close(self) -> None:
        self.tcp.close()
        self.unix.close()
        Path(self.unix_path).unlink()
        Path("/dev/shm", self.shm).unlink()


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    things = Outside(tmp_path_factory.mktemp("host"))
    yield things
    things.close()


@pytest.fixture(scope="module", params=["confined+ns", "confined"])
def tier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["sandbox", "child"])
def prepared(request: pytest.FixtureRequest, outside: Outside, tier: str) -> Iterator[LocalSandbox]:
    with LocalSandbox(tier=tier) as sandbox:
        assert sandbox.run(outside.preparation()).error is None
        inside = sandbox if request.param == "sandbox" else sandbox.fork()
        assert isinstance(inside, LocalSandbox)
        yield inside


@pytest.mark.parametrize("wall", DENIED)
def test_the_code_is_refused(prepared: LocalSandbox, wall: str) -> None:
    error = prepared.run(DENIED[wall]).error
    assert error is not None, f"{wall} was allowed"
    assert error.type in ("PermissionError", ALSO.get(wall)), error.traceback


def test_the_host_cannot_be_signalled(prepared: LocalSandbox) -> None:
    error = prepared.run("os.kill(host, 0)").error
    assert error is not None
    assert error.type in ("PermissionError", "ProcessLookupError")


def test_signalling_everybody_reaches_only_the_sandbox(outside: Outside, tier: str) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with LocalSandbox(tier=tier) as sandbox, LocalSandbox(tier=tier) as sibling:
        sandbox.run("import os, signal\ntry: os.kill(-1, signal.SIGTERM)\nexcept PermissionError: pass")
        assert bystander.poll() is None
        assert sibling.run("1").value == "1"
    bystander.communicate(b"\n")


def test_siblings_do_not_see_each_other(tier: str) -> None:
    with LocalSandbox(tier=tier) as one, LocalSandbox(tier=tier) as other:
        one.run("open('note', 'w').write('mine')")
        reading = other.run(f"open({str(one.workdir / 'note')!r}).read()").error
        writing = other.run(f"open({str(one.workdir / 'note')!r}, 'w')").error
        signalling = other.run(f"import os; os.kill({one.pid}, 0)").error
        assert reading is not None
        assert writing is not None
        assert signalling is not None
        assert {reading.type, writing.type} == {"PermissionError"}


def test_a_child_reads_its_parents_files_and_changes_none(tier: str) -> None:
    with LocalSandbox(tier=tier) as parent:
        parent.run("import os; open('data', 'w').write('d'); there = os.path.abspath('data')")
        child = parent.fork()
        assert isinstance(child, LocalSandbox)
        assert child.run("open(there).read()").value == "'d'"
        writing = child.run("open(there, 'w')").error
        assert writing is not None
        assert writing.type == "PermissionError"


def test_the_environment_holds_no_secret(monkeypatch: pytest.MonkeyPatch, tier: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with LocalSandbox(tier=tier) as sandbox:
        seen = sandbox.run("import os, subprocess; subprocess.run(['env']); print(os.environ)").printed
        assert "secret" not in seen
        assert str(Path.home()) not in seen


def test_ordinary_work_is_not_hindered(tier: str) -> None:
    code = """
import asyncio, os, shutil, sqlite3, subprocess, sys, tempfile, threading, zipfile
import concurrent.futures as cf
open('a.txt', 'w').write('text'); shutil.copy2('a.txt', 'b.txt'); os.chmod('b.txt', 0o600)
with zipfile.ZipFile('z.zip', 'w') as z: z.write('a.txt')
zipfile.ZipFile('z.zip').extractall(tempfile.mkdtemp())
sqlite3.connect('db').execute('create table t(a)')
shown = subprocess.run(['cat', 'a.txt'], capture_output=True, text=True).stdout
inner = subprocess.run([sys.executable, '-c', 'print(6*7)'], capture_output=True, text=True).stdout.strip()
async def slow(): await asyncio.sleep(0); return 1
with cf.ThreadPoolExecutor(4) as pool: squares = list(pool.map(lambda i: i * i, range(3)))
(shown, inner, await slow(), squares, os.path.expanduser('~') == os.environ['HOME'])
"""
    with LocalSandbox(tier=tier) as sandbox:
        result = sandbox.run(code)
        assert result.value == "('text', '42', 1, [0, 1, 4], True)", result.text()


def test_processes_of_the_code_end_when_they_are_told_to(tier: str) -> None:
    code = """
import os, signal, time
pid = os.fork()
if not pid: time.sleep(60)
os.kill(pid, signal.SIGTERM)
os.waitpid(pid, 0)[1]
"""
    with LocalSandbox(tier=tier) as sandbox:
        assert sandbox.run(code, timeout=20).value == str(int(signal.SIGTERM))


def test_process_pools_work_with_namespaces() -> None:
    code = """
def f(x): return x + 1
import multiprocessing
with multiprocessing.get_context('fork').Pool(2) as pool: found = pool.map(f, [1, 2])
found
"""
    with LocalSandbox(tier="confined+ns") as sandbox:
        assert sandbox.run(code).value == "[2, 3]"


def test_data_libraries_import_under_confinement(tier: str) -> None:
    with LocalSandbox(tier=tier) as sandbox:
        result = sandbox.run("import numpy, pandas, pyarrow; pandas.DataFrame({'a': numpy.arange(3)}).a.sum()")
        assert result.value is not None, result.text()


def test_memory_is_limited(tier: str) -> None:
    with LocalSandbox(tier=tier, memory_mb=512) as sandbox:
        error = sandbox.run("x = 'y' * (1 << 30)").error
        assert error is not None
        assert error.type == "MemoryError"
        assert "memory limit" in error.message
        assert sandbox.run("1 + 1").value == "2"


def test_file_size_is_limited(tier: str) -> None:
    with LocalSandbox(tier=tier, file_mb=1) as sandbox:
        error = sandbox.run("open('big', 'wb').write(bytes(4 << 20))").error
        assert error is not None
        assert error.type == "OSError"


def test_a_fork_bomb_ends_its_sandbox_alone(tier: str) -> None:
    from fleet_rlm.sandbox.errors import SandboxDied

    bomb = "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)"
    with LocalSandbox(tier=tier, max_processes=20) as sandbox, LocalSandbox(tier=tier) as sibling:
        sibling.start()
        with pytest.raises(SandboxDied, match="more than 20 processes"):
            sandbox.run(bomb)
        assert sibling.run("'alive'").value == "'alive'"


def test_processor_time_is_limited_per_cell_over_all_its_processes(tier: str) -> None:
    burn = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'while True: pass'])"
    with LocalSandbox(tier=tier, cpu_s=0.3) as sandbox:
        sandbox.run("x = 5")
        for code in ("while True: pass", burn):
            error = sandbox.run(code).error
            assert error is not None
            assert error.type == "CellOverLimit"
            assert "more than 0.3 s of processor time" in error.message
        assert sandbox.run("import time; time.sleep(0.3); x").value == "5"


def test_disk_use_is_limited_and_can_be_tidied_up(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet_rlm.sandbox.watchdog.DISK_S", 0.1)
    fill = "import time\nfor i in range(1000):\n    open(f'f{i}', 'wb').write(bytes(1 << 20))\n    time.sleep(0.01)"
    with LocalSandbox(tier=tier, disk_mb=8) as sandbox:
        error = sandbox.run(fill).error
        assert error is not None
        assert error.type == "CellOverLimit"
        assert "take more than 8 MB" in error.message
        tidy = "import os, glob\ntime.sleep(0.4)\nfor name in glob.glob('f*'): os.remove(name)\ntime.sleep(0.4)\n'tidy'"
        assert sandbox.run(tidy).value == "'tidy'"


def test_the_kernel_ends_the_code_before_the_host_when_memory_runs_out(tier: str) -> None:
    with LocalSandbox(tier=tier) as sandbox:
        sandbox.start()
        assert int(Path(f"/proc/{sandbox.pid}/oom_score_adj").read_text()) == 500


def test_limits_and_what_they_leave_open_are_reported(tier: str) -> None:
    with LocalSandbox(tier=tier, disk_mb=None) as sandbox:
        sandbox.start()
        assert "processor time (watchdog)" in sandbox.isolation.guarantees["limits"]
        assert "disk" not in sandbox.isolation.guarantees["limits"]
        assert any("no cgroup" in phrase for phrase in sandbox.isolation.missing)


def test_the_process_tier_says_that_it_protects_nothing() -> None:
    with LocalSandbox(tier="process") as sandbox:
        assert sandbox.isolation.guarantees == {}
        assert "no confinement" in sandbox.isolation.summary()
        assert sandbox.run("open('/etc/passwd').read() != ''").value == "True"


def test_the_walls_hold_on_an_account_without_privileges(outside: Outside, tier: str) -> None:
    """The same walls, with the host itself running without any capability, as another user where that is possible."""
    script = Path(__file__).with_name("unprivileged_host.py")
    arguments = [tier, outside.preparation(), repr(DENIED), os.pathsep.join(sys.path)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == f"{2 * len(DENIED)} refused", done.stdout
