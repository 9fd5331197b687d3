"""Parsing in a limited process: what reads PDF, Office, HTML, Parquet and notebooks never runs in this one.

The process sees the one file it parses and a directory of its own, has no environment of ours, no network and no other
files (Landlock and seccomp, where the machine has them), and is limited in memory, processor time, output and time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.sandbox.guest import lockdown
from fleet_rlm.sandbox.template import ENVIRONMENT, readable

WORKER = "fleet_rlm.agent.documents.parser.worker"
PACKAGE = Path(__file__).parents[3]
START = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module({!r}, run_name='__main__')"


@dataclass(frozen=True)
class ParserLimits:
    """What one parser may use."""

    memory: int = 2 << 30  # bytes of address space
    cpu: int = 120  # seconds of processor time
    file_size: int = 512 << 20  # bytes of text
    seconds: float = 180.0


DEFAULT = ParserLimits()


@contextlib.asynccontextmanager
async def parsed(
    file: IO[bytes], name: str, kind: str, limits: ParserLimits = DEFAULT
) -> AsyncIterator[tuple[IO[bytes], dict[str, Any]]]:
    """The text of an open file of a parsed kind, as an open file of UTF-8, and its metadata.

    Raises:
        DocumentError: it cannot be read; the sentence begins with `name`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="fleet-parser-") as root,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as report,
    ):
        fault = await _run(file, out, report, kind, root, limits)
        report.seek(0)
        told = json.loads(report.read() or b"{}")
        if "metadata" not in told:
            raise DocumentError(f"{name} {told.get('error', fault)}")
        out.seek(0)
        yield out, told["metadata"]


async def _run(file: IO[bytes], out: IO[bytes], report: IO[bytes], kind: str, root: str, limits: ParserLimits) -> str:
    """Run the parser to its end; returns what to say where it left no report."""
    config = {
        "kind": kind,
        "root": root,
        "read": readable()[0],
        "confine": sys.platform == "linux" and not lockdown.unconfinable(),
        "report": report.fileno(),
        "memory": limits.memory,
        "cpu": limits.cpu,
        "file_size": limits.file_size,
    }
    file.seek(0)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-X", "utf8", "-c", START.format(WORKER), str(PACKAGE), json.dumps(config)),
        stdin=file,
        stdout=out,
        stderr=asyncio.subprocess.DEVNULL,
        env={**ENVIRONMENT, "HOME": root, "TMPDIR": root, "MALLOC_ARENA_MAX": "2"},
        cwd=root,
        pass_fds=(report.fileno(),),
        start_new_session=True,
    )
    try:
        await asyncio.wait_for(process.wait(), limits.seconds)
    except TimeoutError:
        return f"took longer than the {limits.seconds:g} s a parser gets; load a smaller part of it"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"took more than the {limits.cpu} s of processor time a parser gets; load a smaller part of it"
    return (
        f"cannot be read: its parser ended with status {process.returncode}; the file is damaged, or needs more than "
        f"{limits.memory >> 20:,} MB of memory"
    )
