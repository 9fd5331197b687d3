"""Readiness: each part that answering a question needs, tried for real, and not more often than it is worth.

What is found counts for a while, longer where it was good. Those who ask meanwhile wait for the same trial, so that
asking often, which anybody may, costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from fleet_rlm.core.errors import FleetError
from fleet_rlm.server.services.errands import Errands
from fleet_rlm.server.services.health.models import Part, Ready
from fleet_rlm.server.services.lm.service import Gateway

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Store

TIMEOUT_S = 10.0
GOOD_S, BAD_S = 60.0, 5.0
SANDBOX_GOOD_S = 600.0
"""A machine that could confine code a while ago still can: kernels do not lose such abilities."""


class Trial:
    """One part, tried at most once at a time."""

    def __init__(self, attempt: Callable[[], Awaitable[Part]], good_s: float = GOOD_S) -> None:
        self._attempt = attempt
        self._good_s = good_s
        self._found: tuple[Part, float] | None = None
        self._lock = asyncio.Lock()

    async def found(self) -> Part:
        """What was found, now or a while ago."""
        async with self._lock:
            if self._found is None or time.monotonic() >= self._found[1]:
                part = await _tried(self._attempt)
                lasts = BAD_S if part.state == "failed" else self._good_s
                self._found = part, time.monotonic() + lasts
            return self._found[0]

    def forget(self) -> None:
        """Try again when it is asked next."""
        self._found = None


class Readiness:
    """Tries the parts of one server.

    Args:
        gateway: calls models.
        store: gives the store.
        errands: tries the sandbox.
        home: where an errand may write.
    """

    def __init__(self, gateway: Gateway, store: Callable[[], Store], errands: Errands, home: Path) -> None:
        self._gateway = gateway
        self._store = store
        self._errands = errands
        self._home = home
        self.model = Trial(self._model)
        self.store = Trial(self._try_store)
        self.sandbox = Trial(self._sandbox, SANDBOX_GOOD_S)

    async def check(self, provider: Any) -> Ready:
        """All parts; `provider` is the Jupyter server's identity provider."""
        model, store, sandbox, auth = await asyncio.gather(
            self.model.found(), self.store.found(), self.sandbox.found(), _tried(lambda: _auth(provider))
        )
        ready = all(part.state != "failed" for part in (model, store, sandbox, auth))
        return Ready(ready=ready, model=model, store=store, sandbox=sandbox, auth=auth)

    async def _model(self) -> Part:
        main = self._gateway.models.main
        if main is None:
            return Part(state="stand-in", reason="no model is configured: fleet/offline, a set of rules, answers")
        status = await self._gateway.listed(main)
        if status in (401, 403) or main.alias in self._gateway.refused:
            return Part(state="failed", reason=f"the provider of {main.alias} does not accept this server's key")
        if status >= 500:
            return Part(state="failed", reason=f"the provider of {main.alias} answers with {status}")
        return Part(state="ready", reason=f"the provider of {main.alias} answers")

    async def _try_store(self) -> Part:
        store = await asyncio.to_thread(self._store)
        await store.scoped().sessions.alist(limit=1)
        return Part(state="ready", reason="Postgres" if store.place.file is None else "SQLite")

    async def _sandbox(self) -> Part:
        told = await self._errands.run("sandbox", self._home)
        return Part(state="ready", reason=f"{told['name']}: {told['isolation']}")


async def _tried(attempt: Callable[[], Awaitable[Part]]) -> Part:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await attempt()
    except TimeoutError:
        return Part(state="failed", reason=f"it has not answered within {TIMEOUT_S:.0f} seconds")
    except httpx.HTTPError as error:
        return Part(state="failed", reason=f"it cannot be reached ({type(error).__name__})")
    except FleetError as error:
        return Part(state="failed", reason=str(error))


async def _auth(provider: Any) -> Part:
    if hasattr(provider, "keys"):
        await provider.keys.metadata()
        return Part(state="ready", reason="Entra ID, whose keys were fetched")
    if not provider.auth_enabled:
        return Part(state="open", reason="whoever reaches this server may use it")
    return Part(state="ready", reason=type(provider).__name__)
