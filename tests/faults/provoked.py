"""Go past every limit of a sandbox once and write down what happened: `python -m tests.faults.provoked`.

Writes the table under "Limits, provoked" in docs/faults.md. The promises themselves are held by the tests it names.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_rlm.sandbox.errors import SandboxDied
from fleet_rlm.sandbox.local import LocalSandbox
from tests.sandbox.test_faults import processes, settled

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEADING = "## Limits, provoked\n"
CELLS, CONFINED, FAULTS = (
    "tests/conformance/test_stopping.py",
    "tests/sandbox/test_confinement.py",
    "tests/sandbox/test_faults.py",
)
BURN = (
    "import subprocess, sys\nburn = [sys.executable, '-c', 'while True: pass']\n"
    "for process in [subprocess.Popen(burn) for _ in range(4)]: process.wait()"
)
HOARD = (
    "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n"
    "        held = bytearray(os.urandom(1) * (100 << 20)); time.sleep(20)\ntime.sleep(20)"
)
FILL = "import time\nfor i in range(99_999):\n    open(f'f{i}', 'wb').write(bytes(1 << 20)); time.sleep(0.005)"
HOST = """
import subprocess
from fleet_rlm.sandbox.local import LocalSandbox
sandbox = LocalSandbox()
sandbox.run("import subprocess; subprocess.Popen(['setsid', '-f', 'sleep', '955']).wait()")
child = sandbox.fork()
print(sandbox.workdir, flush=True)
child.run("while True: pass")
"""


@dataclass(frozen=True)
class Case:
    """One limit, the code that goes past it, and the test that holds the promise."""

    limit: str
    does: str
    code: str
    test: str
    options: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case(
        "deadline",
        "loops in Python",
        "while True: pass",
        f"{CELLS}::test_a_deadline_interrupts_and_keeps_the_variables",
        {"timeout": 1},
    ),
    Case(
        "deadline",
        "swallows the interrupts",
        "import time\nn = 0\nwhile n < 3:\n    try: time.sleep(60)\n    except KeyboardInterrupt: n += 1",
        f"{CELLS}::test_a_cell_that_swallows_interrupts_is_stopped_all_the_same",
        {"timeout": 1},
    ),
    Case(
        "deadline",
        "is inside one call of native code",
        "sum(range(10 ** 12))",
        f"{CELLS}::test_a_cell_that_cannot_be_interrupted_is_killed_with_the_reason",
        {"timeout": 1},
    ),
    Case(
        "memory",
        "one process asks for 2 GB of 1",
        "held = 'y' * (2 << 30)",
        f"{CONFINED}::test_memory_is_limited",
        {"memory_mb": 1024},
    ),
    Case(
        "memory",
        "four processes write 100 MB each, 256 in all are allowed",
        HOARD,
        f"{FAULTS}::test_too_much_memory_over_several_processes_is_noticed",
        {"memory_mb": 256},
    ),
    Case(
        "processor time",
        "loops for more than 1 s",
        "while True: pass",
        f"{CONFINED}::test_processor_time_is_limited_per_cell_over_all_its_processes",
        {"cpu_s": 1},
    ),
    Case(
        "processor time",
        "lets four child processes loop",
        BURN,
        f"{CONFINED}::test_processor_time_is_limited_per_cell_over_all_its_processes",
        {"cpu_s": 1},
    ),
    Case(
        "processes",
        "forks without end",
        "import os\nwhile True: os.fork()",
        f"{CONFINED}::test_a_fork_bomb_ends_its_sandbox_alone",
    ),
    Case(
        "files",
        "writes 4 MB to one file, 1 is allowed",
        "open('f', 'wb').write(bytes(4 << 20))",
        f"{CONFINED}::test_file_size_is_limited",
        {"file_mb": 1},
    ),
    Case(
        "disk",
        "writes file after file, 64 MB are allowed",
        FILL,
        f"{CONFINED}::test_disk_use_is_limited_and_can_be_tidied_up",
        {"disk_mb": 64},
    ),
    Case(
        "output",
        "prints a gigabyte",
        "for _ in range(1000): print('x' * 1_000_000)",
        f"{FAULTS}::test_a_gigabyte_of_output_is_kept_at_both_ends_and_spooled",
    ),
    Case(
        "none",
        "ends its own process",
        "import os; os._exit(3)",
        "tests/conformance/test_lifecycle.py::test_a_guest_that_exits_is_reported",
    ),
    Case(
        "none",
        "crashes in native code",
        "import ctypes; ctypes.string_at(0)",
        "tests/conformance/test_checkpoints.py::test_a_checkpoint_outlives_the_death_of_its_sandbox",
    ),
)


def outcome(case: Case) -> str:
    """What happened, as told by the result or the error."""
    with LocalSandbox(**case.options) as sandbox:
        sandbox.run("kept = 5")
        begin = time.perf_counter()
        try:
            result = sandbox.run(case.code)
        except SandboxDied as error:
            return f"after {time.perf_counter() - begin:.1f} s: {type(error).__name__}, {error}"
        seconds = time.perf_counter() - begin
        assert sandbox.run("kept").value == "5"
    if result.error is not None:
        return f"after {seconds:.1f} s: {result.error.type}, {result.error.message}"
    kept = ", ".join(f"{file.bytes:,} bytes in artifacts/{file.name}" for file in result.artifacts)
    return f"after {seconds:.1f} s: {len(result.printed):,} characters kept, {kept}"


def killed_host() -> str:
    """What is left of a sandbox, its stray process and its child after kill -9 of their host."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "TMPDIR": directory, "PYTHONPATH": os.pathsep.join(sys.path)}
        host = subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True, env=environment)
        assert host.stdout is not None
        assert Path(host.stdout.readline().strip()).is_dir()
        begin = time.perf_counter()
        host.kill()
        host.wait()
        root = Path(directory)
        assert settled(lambda: not processes("sleep 955") and not processes(directory) and not list(root.iterdir()))
        return f"after {1000 * (time.perf_counter() - begin):.0f} ms: no process and no directory left"


def section() -> str:
    """The table with its heading."""
    lines = [
        HEADING,
        f"Written by `python -m tests.faults.provoked` on Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}.",
        "Where the variables are lost, a run goes on from its last checkpoint and the model is told",
        "(`tests/agent/test_bad_input.py::test_code_that_kills_its_sandbox_goes_on_with_the_variables_from_before`).",
        "",
        "| limit | the code ... | what happened | test |",
        "|---|---|---|---|",
    ]
    lines += [f"| {case.limit} | {case.does} | {outcome(case)} | `{case.test}` |" for case in CASES]
    test = f"`{FAULTS}::test_a_killed_host_leaves_no_process_and_no_directory`"
    lines.append(f"| host | runs on while its host is killed with SIGKILL | {killed_host()} | {test} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(HEADING)
    _, mark, after = rest.partition("\n## ")
    PAGE.write_text(before.rstrip("\n") + "\n\n" + section() + (f"{mark}{after}" if mark else ""))
