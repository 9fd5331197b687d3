"""Every route of ours, in one table; a resource closes its handlers file with its own."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.services.artifacts import handlers as artifacts
from fleet_rlm.server.services.execution import handlers as execution
from fleet_rlm.server.services.health import handlers as health
from fleet_rlm.server.services.lm import handlers as lm
from fleet_rlm.server.services.memory import handlers as memory
from fleet_rlm.server.services.openapi import handlers as openapi
from fleet_rlm.server.services.runs import handlers as runs
from fleet_rlm.server.services.runtime import handlers as runtime
from fleet_rlm.server.services.sessions import handlers as sessions
from fleet_rlm.server.services.traces import handlers as traces
from fleet_rlm.server.services.volumes import handlers as volumes

ROUTES: list[tuple[str, type[Any]]] = [
    *health.ROUTES,
    *openapi.ROUTES,
    *sessions.ROUTES,
    *memory.ROUTES,
    *runs.ROUTES,
    *execution.ROUTES,
    *artifacts.ROUTES,
    *volumes.ROUTES,
    *runtime.ROUTES,
    *traces.ROUTES,
    *lm.ROUTES,
]

PUBLIC = frozenset({*health.PUBLIC, *lm.PUBLIC})
"""Patterns that the server's identity provider does not close; each says why at its own place."""
