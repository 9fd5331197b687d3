"""A hostile parser, started in the place of ours: tries what a parser must not be able to do, and reports."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from fleet_rlm.agent.documents.parser import worker
from fleet_rlm.agent.documents.parser.contract import Write


def _can(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def spy(file: IO[bytes], write: Write) -> dict[str, Any]:
    """What could be done."""
    return {
        "environment": sorted(os.environ),
        "read a file": _can(lambda: Path("/etc/passwd").read_bytes()),
        "list a directory": _can(lambda: os.listdir("/")),
        "write a file": _can(lambda: Path("/tmp/fleet-spy").write_text("x")),
        "open a socket": _can(socket.socket),
        "signal its parent": _can(lambda: os.kill(os.getppid(), 0)),
        "write where it may": _can(lambda: Path("scratch").write_text("x")),
    }


if __name__ == "__main__":
    worker.PARSERS["html"] = spy
    worker.main(json.loads(sys.argv[1]))
