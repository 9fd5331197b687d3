"""A page of the audit trail of an identity's tenant.

A page ends at the number of its last entry and the next begins below it, so entries that are added meanwhile move
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.trail.models import AuditEntry, AuditPage, AuditQuery

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.sessions.store import Store


async def page(store: Store, identity: Identity, asked: AuditQuery) -> AuditPage:
    """The entries that are asked for.

    Raises:
        StoreUnavailable: they cannot be read now.
    """
    trail = store.scoped(Owner.of(identity).account()).audit
    found = await trail.alist(below=asked.cursor, **asked.model_dump(exclude={"cursor"}))
    names = AuditEntry.model_fields
    items = [AuditEntry(**{name: getattr(row, name) for name in names}) for row in found.items]
    cursor = items[-1].seq if items and found.has_more else None
    return AuditPage(items=items, total=found.total, limit=asked.limit, has_more=found.has_more, cursor=cursor)
