"""fleet-rlm: answers questions over data that no context window holds, in the notebook.

Importing this package is cheap; each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "run": "fleet_rlm.agent.runtime",
    "arun": "fleet_rlm.agent.runtime",
    "start": "fleet_rlm.agent.runtime",
    "plan": "fleet_rlm.agent.runtime",
    "resume": "fleet_rlm.agent.resume",
    "branch": "fleet_rlm.agent.resume",
    "Session": "fleet_rlm.sessions.session",
    "Run": "fleet_rlm.core.run",
    "Budget": "fleet_rlm.core.budget",
    "LocalSandbox": "fleet_rlm.sandbox.local",
    "FleetError": "fleet_rlm.core.errors",
    "UserError": "fleet_rlm.core.errors",
    "ContextError": "fleet_rlm.core.errors",
    "ModelError": "fleet_rlm.core.errors",
    "BudgetExhausted": "fleet_rlm.core.errors",
    "RunFailed": "fleet_rlm.core.errors",
    "RunStopped": "fleet_rlm.core.errors",
}

__all__ = [
    "Budget",
    "BudgetExhausted",
    "ContextError",
    "FleetError",
    "LocalSandbox",
    "ModelError",
    "Run",
    "RunFailed",
    "RunStopped",
    "Session",
    "UserError",
    "arun",
    "branch",
    "load_ipython_extension",
    "plan",
    "resume",
    "run",
    "start",
    "unload_ipython_extension",
]

if TYPE_CHECKING:
    from fleet_rlm.agent.resume import branch, resume
    from fleet_rlm.agent.runtime import arun, plan, run, start
    from fleet_rlm.core.budget import Budget
    from fleet_rlm.core.errors import (
        BudgetExhausted,
        ContextError,
        FleetError,
        ModelError,
        RunFailed,
        RunStopped,
        UserError,
    )
    from fleet_rlm.core.run import Run
    from fleet_rlm.sandbox.local import LocalSandbox
    from fleet_rlm.sessions.session import Session


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fleet_rlm' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(ip: Any) -> None:
    """`%load_ext fleet_rlm`: registers `%fleet` and `%%fleet`; the rest loads on first use."""
    from fleet_rlm.notebook import extension

    extension.load_ipython_extension(ip)


def unload_ipython_extension(ip: Any) -> None:
    """`%unload_ext fleet_rlm`: undoes all of it."""
    from fleet_rlm.notebook import extension

    extension.unload_ipython_extension(ip)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where the Jupyter server finds our extension; nowhere without the packages of the `server` extra."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("jwt", "pydantic", "prometheus_client")):
        import logging

        logging.getLogger("fleet_rlm").warning("the server face of fleet-rlm is off: pip install 'fleet-rlm[server]'")
        return []
    from fleet_rlm.server.app import FleetApp

    return [{"module": "fleet_rlm", "app": FleetApp}]
