"""The route of the audit trail: parse, ask the store, answer."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.trail.models import AuditQuery
from fleet_rlm.server.services.trail.service import page


class AuditTrail(Handler):
    """What the audit of one's own tenant holds."""

    @authorized("read", "fleet.audit")
    async def get(self) -> None:
        """List entries, the latest first. Reading them is an entry, too."""
        self.answer(await page(self.house.store, self.identity, self.query(AuditQuery)))


ROUTES: list[tuple[str, type[Any]]] = [(r"/fleet/api/v1/audit", AuditTrail)]
