"""What tests of sessions share: scripts of turns, and kernels that can be killed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.twins.scripts import Fields, answer, react_step

DONE = react_step("I am done", "finish")


def running(*cells: str) -> list[Any]:
    """The steps of an agent that runs each cell in a turn of its own."""
    return [step for cell in cells for step in (react_step("run it", "execute_code", code=cell), DONE)]


def saying(text: str = "noted") -> Fields:
    """The answer of a turn."""
    return answer(reasoning="-", answer=text)


def kernel(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Another process that runs code with a session in it; FLEET_HOME is that of the test."""
    head = "import sys, pathlib, os\nimport fleet_rlm as fleet\nfrom fleet_rlm import Session\n"
    command = [sys.executable, "-c", head + code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finished(process: subprocess.Popen[str], timeout: float = 60) -> str:
    """Its output once it has ended well."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out
