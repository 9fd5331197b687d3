"""The routes of a session's core memory: parse, call the service, answer."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.memory.models import EditMemory
from fleet_rlm.server.services.sessions.models import PageQuery

RESOURCE = "fleet.memory"


class Memory(Handler):
    """What stands in every prompt of a session."""

    @authorized("read", RESOURCE)
    async def get(self, session: str) -> None:
        """Its sections."""
        self.answer(await self.house.memory.get(self.identity, session))

    @authorized("write", RESOURCE)
    async def patch(self, session: str) -> None:
        """Change one of them."""
        self.answer(await self.house.memory.edit(self.identity, session, self.read(EditMemory)))


class MemoryItems(Handler):
    """The changes of a session's memory."""

    @authorized("read", RESOURCE)
    async def get(self, session: str) -> None:
        """List them, the latest first."""
        asked = self.query(PageQuery)
        self.answer(await self.house.memory.items(self.identity, session, asked.limit, asked.offset))


_MEMORY = r"/fleet/api/v1/sessions/(?P<session>[^/]{1,400})/memory"

ROUTES: list[tuple[str, type[Any]]] = [(_MEMORY, Memory), (_MEMORY + "/items", MemoryItems)]
