"""The story of a run that survives: its process is killed, another goes on with it, and a third run branches off.

What is printed is counted from the logs: every model call of a run is one `llm` span.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_rlm.cli.asking import OK, followed
from fleet_rlm.cli.demo import standard_library
from fleet_rlm.cli.demo.questions import QUESTIONS
from fleet_rlm.core.errors import RunFailed
from fleet_rlm.core.runs import open_run

if TYPE_CHECKING:
    from rich.console import Console

    from fleet_rlm.core.run import Run

CALLS = 12
"""Replies after which the first process is killed."""

OTHER = "How many lines mention 'DeprecationWarning'?"

FIRST = """\
import json, sys
from pathlib import Path
import fleet_rlm as fleet
from fleet_rlm.core.events import SpanEnd
question, data, options = json.loads(sys.argv[1])
run = fleet.start(question, context={"stdlib": Path(data)}, **options)
print(run.id, flush=True)
def tell(event):
    if isinstance(event, SpanEnd) and event.usage is not None:
        print("reply", flush=True)
run.log.subscribe(tell, since=0)
run.wait()
"""


def print_story(args: argparse.Namespace, options: dict[str, object], console: Console) -> int:
    """Tell it, with the model of `options`; returns the exit code."""
    question = QUESTIONS[0].question
    with tempfile.TemporaryDirectory(prefix="fleet-demo-") as folder:
        data = standard_library.copy_sources(Path(folder))
        console.rule("1. a long run is started, and its process killed with SIGKILL", align="left")
        console.print(question, style="bold", markup=False, highlight=False)
        killed = _killed(question, data, options)
        asked = _calls(killed)
        console.print(
            f"{killed.id}: {killed.status} ({killed.error}), {asked} model calls were asked\n", highlight=False
        )

        console.rule("2. another process goes on with it", align="left")
        resumed = followed(killed.resume(**_models(options)), None if args.quiet else console)
        console.print(f"\n{resumed.answer}\n", markup=False, highlight=False)

        console.rule("3. a branch asks something else from the same point", align="left")
        span = next(node.id for node in resumed.tree.spans.values() if node.type == "rlm")
        branched = followed(resumed.branch(span, prompt=OTHER, **_models(options)), None if args.quiet else console)
        console.print(f"\n{branched.answer}\n", markup=False, highlight=False)

        console.rule("4. side by side", align="left")
        console.print(str(resumed.diff(branched)), markup=False, highlight=False, soft_wrap=True)
        paths = [run.to_parquet(Path.cwd() / f"{run.id}.parquet") for run in (resumed, branched)]
        console.rule("5. what was paid", align="left")
        console.print(f"before the kill           {asked:>4} model calls", highlight=False)
        console.print(f"after it, to the answer   {_calls(resumed) - asked:>4}", highlight=False)
        console.print(
            f"of those asked again      {_again(resumed):>4} (in flight when the process died)", highlight=False
        )
        console.print(
            f"the branch                {branched.usage.llm_calls:>4}, its past not paid again", highlight=False
        )
        console.print(f"exported                  {', '.join(map(str, paths))}", highlight=False, soft_wrap=True)
    return OK


def _killed(question: str, data: Path, options: dict[str, object]) -> Run:
    """A run whose process was killed after its twelfth reply."""
    command = [sys.executable, "-c", FIRST, json.dumps([question, str(data), _models(options)])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        replies = sum(1 for _, line in zip(range(CALLS), process.stdout, strict=False) if line)
        process.kill()
    if not run_id or replies < CALLS:
        raise RunFailed("the first process ended before it could be killed; run `fleet doctor`")
    return open_run(run_id)


def _models(options: dict[str, object]) -> dict[str, str]:
    return {name: str(options[name]) for name in ("lm", "sub_lm") if name in options}


def _calls(run: Run) -> int:
    return sum(node.type == "llm" for node in run.tree.spans.values())


def _again(run: Run) -> int:
    return sum(node.type == "llm" and node.status == "stopped" for node in run.tree.spans.values())
