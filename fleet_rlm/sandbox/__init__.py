"""Where generated code runs: one small contract (`base`), one worker (`guest`), one transport per backend.

Knows `fleet_rlm.core` and nothing above itself: no models, no agents, no notebook. Names load on first use, so that
importing the room costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "LocalSandbox": "local",
    "GrantedFile": "files",
    "GrantedDirectory": "files",
    "modules_for": "values",
    **dict.fromkeys(
        (
            "Sandbox",
            "ForkingTool",
            "Capabilities",
            "IsolationReport",
            "CellResult",
            "CellError",
            "SandboxFile",
            "Checkpoint",
        ),
        "base",
    ),
    **dict.fromkeys(
        (
            "SandboxError",
            "SandboxUnavailable",
            "SandboxDied",
            "SandboxClosed",
            "SandboxBusy",
            "ValueNotSendable",
            "ThreadsAlive",
            "CheckpointLost",
        ),
        "errors",
    ),
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
