"""Stop a Jupyter server in order."""

from __future__ import annotations

import subprocess
from typing import Any


def stop(server: subprocess.Popen[Any], patience: float = 30) -> None:
    """Ask until it ends: Jupyter logs in its signal handler, so a signal that finds it logging may be lost."""
    for _ in range(2):
        server.terminate()
        try:
            server.wait(patience / 2)
        except subprocess.TimeoutExpired:
            continue
        return
    server.kill()
    raise AssertionError(f"the server did not end within {patience:g} s")
