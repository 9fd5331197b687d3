"""Every route of ours, in one table; a resource closes its handlers file with its own."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.auth import ticket
from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.artifacts import handlers as artifacts
from fleet_rlm.server.services.errors import ServiceError
from fleet_rlm.server.services.execution import handlers as execution
from fleet_rlm.server.services.health import handlers as health
from fleet_rlm.server.services.lm import handlers as lm
from fleet_rlm.server.services.memory import handlers as memory
from fleet_rlm.server.services.openapi import handlers as openapi
from fleet_rlm.server.services.runs import handlers as runs
from fleet_rlm.server.services.runtime import handlers as runtime
from fleet_rlm.server.services.sessions import handlers as sessions
from fleet_rlm.server.services.traces import handlers as traces
from fleet_rlm.server.services.trail import handlers as trail
from fleet_rlm.server.services.volumes import handlers as volumes


class NoAddress(ServiceError):
    """The server has no such address."""

    status, code = 404, "not_found"

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no address {path[:80]!r} here; fleet/openapi.json lists those there are")


class Nowhere(Handler):
    """Any other address below ours: Jupyter's own answer would be a page, and its pages hold the server's token."""

    async def admit(self, **options: Any) -> None:
        """Find out who asks, then say that there is nothing.

        Raises:
            NoAddress: always, to whoever is signed in.
        """
        await super().admit(**options)
        raise NoAddress(self.request.path)


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
    *trail.ROUTES,
    *lm.ROUTES,
]

WITH_ENTRA = ticket.ROUTES
"""Come with that sign-in, which serves them itself: they are described and tested as the others are, with a note."""

NOWHERE: list[tuple[str, type[Any]]] = [(r"/fleet(?:/.*)?", Nowhere)]
"""Comes last, after the pages of the server's identity provider too: it has no verb and answers none."""

PUBLIC = frozenset({*health.PUBLIC, *lm.PUBLIC})
"""Patterns that the server's identity provider does not close; each says why at its own place."""
