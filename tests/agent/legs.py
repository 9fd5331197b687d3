"""A recursive run of sixty model calls, and the processes that carry it a leg of its way each, until they are killed.

`script()` answers it, the same whatever was asked before. `Walkers` is a fresh Python that has imported what a run
needs and forks a process for each leg, because twenty fresh ones would take most of a minute to import; `walk_afresh`
is a leg in a Python of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.twins.lm_server import Script
from tests.twins.scripts import Prompt, answer, by_role, react_step, rlm_action

QUESTION = "Which parts are odd?"
CONTEXT = "".join(f"part {i}: {i * 37 % 11}\n" for i in range(4_000))
ANSWER = "parts: 13 + 20 + 16"
CALLS = 60

ROOT = [
    "lines = context.splitlines()\nfirst = llm_query_batched([f'first {i}: {lines[i]}' for i in range(13)])\n"
    "print(len(first), first[0])",
    "found = sub_rlm_batched([f'child {n}' for n in range(4)], contexts=[lines[n::4] for n in range(4)])\nprint(found)",
    "second = []\nfor i in range(16):\n    second.append(llm_query(f'second {i}: {first[i % 12]}'))\nprint(second[-1])",
    "total = sum(int(one.split()[-1]) for one in found)\n"
    "SUBMIT(answer=f'parts: {len(first)} + {total} + {len(second)}')",
]
CHILD = [
    "asked = llm_query_batched([f'{prompt}, {i}: {context[i]}' for i in range(4)])\nprint(asked)",
    "SUBMIT(answer=f'{prompt} saw {len(asked) + 1}')",
]


def script() -> Script:
    """Two steps of the agent, an answer, six iterations, forty queries, and eight iterations of four children."""

    def step(prompt: Prompt) -> str:
        if "observation_0" in prompt.user:
            return react_step("done", "finish")
        return react_step("look", "delegate_to_rlm", query="find the odd parts")

    def action(prompt: Prompt) -> str:
        turn = int(prompt.inputs["iteration"].partition("/")[0]) - 1
        is_child = re.search(r"child \d", prompt.inputs["variables_info"]) is not None
        return rlm_action("next", (CHILD if is_child else ROOT)[turn])

    def extract(prompt: Prompt) -> str:
        told = re.findall(r"parts: \d+ \+ \d+ \+ \d+", prompt.user)[0]
        return answer(reasoning="-", answer=told)

    return by_role(react_step=step, react_extract=extract, rlm_action=action, bare=lambda prompt: f"re: {prompt.user}")


def walk(leg: dict[str, Any]) -> dict[str, Any]:
    """Start or resume a run in this process, and tell how it ended; with `die_at`, kill it when so many events are
    on disk."""
    os.environ["FLEET_HOME"] = leg["home"]
    import fleet_rlm as fleet
    from fleet_rlm.core.errors import FleetError
    from fleet_rlm.core.log import RunLog

    if leg.get("die_at"):
        emit = RunLog.emit

        def deadly(self: RunLog, event: Any) -> Any:
            told = emit(self, event)
            if len(self) >= leg["die_at"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return told

        RunLog.emit = deadly  # type: ignore[method-assign]
    try:
        if "run" in leg:
            run = fleet.resume(leg["run"], **leg.get("changes", {}))
        else:
            run = fleet.start(QUESTION, context=leg.get("context", CONTEXT), lm=leg["lm"], **leg.get("options", {}))
        with contextlib.suppress(FleetError):
            run.wait(60)
    except FleetError as error:
        return {"refused": str(error)}
    return {
        "run": run.id,
        "status": run.status,
        "answer": run.answer,
        "error": run.error,
        "tree": run.tree.canonical(),
        "spent": run.budget.spent.calls,
        "children": run.budget.spent.children,
    }


class Walkers:
    """The process that forks the legs, one at a time."""

    def __enter__(self) -> Walkers:
        self._process = _python("serve")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def begin(self, leg: dict[str, Any]) -> int:
        """The process id of a leg that has begun."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(leg) + "\n")
        self._process.stdin.flush()
        return int(self._read()["pid"])

    def end(self) -> dict[str, Any] | None:
        """How the leg ended; None where it was killed."""
        told = self._read()
        if "killed" in told:
            return None
        self._read()
        return told

    def walk(self, leg: dict[str, Any]) -> dict[str, Any] | None:
        """A whole leg."""
        self.begin(leg)
        return self.end()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told


def walk_afresh(leg: dict[str, Any]) -> dict[str, Any] | None:
    """A leg in a fresh Python; None where it was killed."""
    with _python("once") as process:
        out, _ = process.communicate(json.dumps(leg) + "\n", timeout=60)
    return json.loads(out) if process.returncode == 0 else None


def _python(how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.agent.legs", how],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _serve() -> None:
    for name in ("dspy", "fleet_rlm.agent.resume"):
        importlib.import_module(name)

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            print(json.dumps({"pid": os.getpid()}), flush=True)
            print(json.dumps(walk(json.loads(line))), flush=True)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"killed": os.WIFSIGNALED(status)} if status else {"ended": True}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        print(json.dumps(walk(json.loads(sys.stdin.readline()))))
