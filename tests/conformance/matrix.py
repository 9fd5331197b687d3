"""Run the conformance suite and print what each backend was seen to keep: `python -m tests.conformance.matrix`.

The page goes to standard output (`> docs/conformance.md`), the progress of the tests to standard error.
"""

from __future__ import annotations

import contextlib
import platform
import sys
from pathlib import Path

import pytest

from fleet_rlm.sandbox.guest import lockdown
from tests.conformance.test_sandboxes import ALL

SUITE = Path(__file__).with_name("test_sandboxes.py")
SIGNS = {"passed": "yes", "failed": "**no**", "skipped": "skipped", None: "–"}


class Recorder:
    """A pytest plugin: the worst outcome per check and backend."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, str]] = {}
        self._where: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        for item in items:
            backend = next(item.callspec.params[name] for name in ("make", "local") if name in item.callspec.params)
            self._where[item.nodeid] = (item.originalname, backend)
            self.seen.setdefault(item.originalname, {})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        check, backend = self._where[report.nodeid]
        if report.when == "call" or report.outcome != "passed":
            worst = self.seen[check].get(backend, "passed")
            self.seen[check][backend] = report.outcome if worst == "passed" else worst


def page(seen: dict[str, dict[str, str]]) -> str:
    """The matrix as Markdown."""
    backends = list(ALL)
    machine = f"Linux {platform.release().split('-')[0]}, Landlock ABI {lockdown.landlock_abi()}"
    lines = [
        "# Conformance: backend by check",
        "",
        f"Written by `python -m tests.conformance.matrix` on {machine}, Python {platform.python_version()}.",
        "Each row is a test of `tests/conformance/test_sandboxes.py` with all its parameters; – means that the backend",
        "does not make that promise. dspy's own interpreter runs through an adapter, for comparison.",
        "",
        f"| check | {' | '.join(backends)} |",
        f"|---|{'---|' * len(backends)}",
    ]
    for check, outcomes in seen.items():
        told = [SIGNS[outcomes.get(backend)] for backend in backends]
        lines.append(f"| {check.removeprefix('test_').replace('_', ' ')} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    recorder = Recorder()
    with contextlib.redirect_stdout(sys.stderr):
        status = pytest.main([str(SUITE)], plugins=[recorder])
    sys.stdout.write(page(recorder.seen))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
