"""Run the conformance suite and print what each backend was seen to keep: `python -m tests.conformance.matrix`.

The page goes to standard output (`> docs/conformance.md`), the progress of the tests to standard error. Run it with
the environment of `make bench`: dspy's PythonInterpreter needs the Deno that is installed there only.
"""

from __future__ import annotations

import ast
import contextlib
import os
import platform
import sys
from pathlib import Path

import pytest

from fleet_rlm.sandbox.guest import lockdown
from tests.conformance.backends import ALL

ROOT = Path(__file__).parents[2]
TOPICS = [path for path in sorted(Path(__file__).parent.glob("test_*.py")) if path.stem != "test_matrix"]
SIGNS = {"passed": "yes", "failed": "**no**", "skipped": "no", None: "–"}
INTRO = """\
Each row is a test of `tests/conformance/` with all its parameters. "–" means that a backend does not make that promise,
"no" that it is known not to keep it (`KNOWN` in `tests/conformance/backends.py` says why; the suite fails when one of
these begins to be kept). dspy's own interpreters run through an adapter, for comparison; what of theirs is not asked
here (streaming, displays, forks, checkpoints ...) they do not have."""
Seen = dict[str, dict[str, dict[str, str]]]


class Recorder:
    """A pytest plugin: the worst outcome per topic, check and backend."""

    def __init__(self) -> None:
        self.seen: Seen = {}
        self._where: dict[str, tuple[str, str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        for item in items:
            backend = next(item.callspec.params[name] for name in ("make", "local") if name in item.callspec.params)
            self._where[item.nodeid] = (item.path.stem, item.originalname, backend)
            self.seen.setdefault(item.path.stem, {}).setdefault(item.originalname, {})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        topic, check, backend = self._where[report.nodeid]
        if report.when == "call" or report.outcome != "passed":
            worst = self.seen[topic][check].get(backend, "passed")
            self.seen[topic][check][backend] = report.outcome if worst == "passed" else worst


def page(seen: Seen) -> str:
    """The matrix as Markdown, a table per topic."""
    machine = f"Linux {platform.release().split('-')[0]}, Landlock ABI {lockdown.landlock_abi()}"
    written = f"Written by `python -m tests.conformance.matrix` on {machine}, Python {platform.python_version()}."
    lines = ["# Conformance: backend by check", "", written, INTRO]
    told = {path.stem: ast.get_docstring(ast.parse(path.read_text())) or "" for path in TOPICS}
    for topic, checks in seen.items():
        title = topic.removeprefix("test_").capitalize()
        lines += ["", f"## {title}", "", told.get(topic, ""), "", f"| check | {' | '.join(ALL)} |"]
        lines.append(f"|---|{'---|' * len(ALL)}")
        for check, outcomes in checks.items():
            signs = [SIGNS[outcomes.get(backend)] for backend in ALL]
            lines.append(f"| {check.removeprefix('test_').replace('_', ' ')} | {' | '.join(signs)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    recorder = Recorder()
    with contextlib.redirect_stdout(sys.stderr):
        status = pytest.main([*map(str, TOPICS), "-c", os.devnull, f"--rootdir={ROOT}"], plugins=[recorder])
    sys.stdout.write(page(recorder.seen))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
