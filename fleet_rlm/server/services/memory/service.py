"""MemoryService: what stands in every prompt of a session. It is read from the manifest, and edited in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_rlm.server.services.kernels.service import Kernels
from fleet_rlm.server.services.manifests import state_of
from fleet_rlm.server.services.memory.models import CoreMemory, EditMemory, MemoryItem
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.page import Page
from fleet_rlm.server.services.runs.service import RunService

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.server.services.sessions.service import ScopeOf


class MemoryService:
    """The core memory of everybody's sessions; each verb sees those of the identity it is given.

    Args:
        runs: carries out commands in the kernels of sessions.
        kernels: where sessions are open.
        scope: the store as a user sees it.

    Raises (every verb):
        NotFound: there is no such session for this identity.
        StoreError: the store cannot be used now.
    """

    def __init__(self, runs: RunService, kernels: Kernels, scope: ScopeOf) -> None:
        self._runs = runs
        self._kernels = kernels
        self._scope = scope

    async def get(self, identity: Identity, session: str) -> CoreMemory:
        """The sections."""
        found, memory = await self._saved(identity, session)
        return CoreMemory(session=found, sections=memory["sections"])

    async def edit(self, identity: Identity, session: str, asked: EditMemory) -> CoreMemory:
        """Change a section, in the session's kernel; raises as starting a run there, and Refused: it would be full."""
        found, _ = await self._saved(identity, session)
        await self._runs.command(identity, found, "edit_core_memory", asked.model_dump())
        return await self.get(identity, found)

    async def items(self, identity: Identity, session: str, limit: int, offset: int) -> Page[MemoryItem]:
        """Who changed what, the latest first."""
        _, memory = await self._saved(identity, session)
        edits = memory["edits"][::-1]
        items = [MemoryItem(**edit) for edit in edits[offset : offset + limit]]
        more = offset + len(items) < len(edits)
        return Page(items=items, total=len(edits), offset=offset, limit=limit, has_more=more)

    async def _saved(self, identity: Identity, session: str) -> tuple[str, dict[str, Any]]:
        scope = await self._scope(identity)
        row = await scope.sessions.aget(session)
        state = await state_of(self._kernels.home_of(Owner.of(identity), row.id), row.id)
        return row.id, state["memory"]
