"""Every route of ours, in one table; a resource closes its handlers file with its own."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.services.execution import handlers as execution
from fleet_rlm.server.services.lm import handlers as lm
from fleet_rlm.server.services.runs import handlers as runs

ROUTES: list[tuple[str, type[Any]]] = [*runs.ROUTES, *execution.ROUTES, *lm.ROUTES]

PUBLIC = frozenset(lm.PUBLIC)
"""Patterns that the server's identity provider does not close; each says why at its own place."""
