"""How a server runs: its settings, its condition, checks that really check, and who did what."""

from __future__ import annotations

import datetime
from typing import Literal

from fleet_rlm.client.connection import Resource
from fleet_rlm.client.records import AuditPage, Checked, RuntimeSettings, RuntimeStatus

API = "api/v1/"
RUNTIME = f"{API}runtime/"


class AsyncRuntime(Resource):
    """The server itself; for those who look after it."""

    async def status(self) -> RuntimeStatus:
        """How it is doing: models, kernels, runs that go on, and the last checks."""
        return await self._connection.ask("GET", f"{RUNTIME}status", RuntimeStatus)

    async def settings(self) -> RuntimeSettings:
        """Its settings by variable; of a secret no more than "(set)" is told."""
        return await self._connection.ask("GET", f"{RUNTIME}settings", RuntimeSettings)

    async def change(self, updates: dict[str, str | None]) -> RuntimeSettings:
        """Set variables until the server ends, for kernels that start later; None goes back to the first value.

        Raises:
            Forbidden: the server is not APP_ENV=local, or whoever asks is no administrator.
        """
        return await self._connection.ask("PATCH", f"{RUNTIME}settings", RuntimeSettings, body={"updates": updates})

    async def test_model(self) -> Checked:
        """Ask its model something, now; this costs a call."""
        return await self._connection.ask("POST", f"{RUNTIME}tests/lm", Checked)

    async def test_sandbox(self) -> Checked:
        """Run something in a sandbox, now."""
        return await self._connection.ask("POST", f"{RUNTIME}tests/sandbox", Checked)

    async def audit(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        object: str | None = None,
        outcome: Literal["ok", "denied", "failed"] | None = None,
        after: datetime.datetime | None = None,
        before: datetime.datetime | None = None,
        cursor: int | None = None,
        limit: int = 50,
    ) -> AuditPage:
        """Who did what, the latest first; `cursor` is that of the page before. Times must know their zone.

        Raises:
            Forbidden: whoever asks is no administrator.
        """
        query = {
            "action": action,
            "actor": actor,
            "object": object,
            "outcome": outcome,
            "after": after and after.isoformat(),
            "before": before and before.isoformat(),
            "cursor": cursor,
            "limit": limit,
        }
        return await self._connection.ask("GET", f"{API}audit", AuditPage, query=query)
