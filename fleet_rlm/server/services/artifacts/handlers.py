"""The routes of artifacts: parse, call the service, answer."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.base import Handler
from fleet_rlm.server.sending import send_file
from fleet_rlm.server.services.artifacts.models import ArtifactQuery

RESOURCE = "fleet.artifacts"


class Artifacts(Handler):
    """All artifacts."""

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """List them, the latest first."""
        asked = self.query(ArtifactQuery)
        self.answer(await self.house.artifacts.list(self.identity, asked.run, asked.limit, asked.offset))


class ArtifactFile(Handler):
    """One artifact."""

    @authorized("read", RESOURCE)
    async def get(self, run: str, artifact: str) -> None:
        """Its file, to be saved."""
        made, file = await self.house.artifacts.open(self.identity, run, artifact)
        await send_file(self, file, made.name, made.mime)


ROUTES: list[tuple[str, type[Any]]] = [
    (r"/fleet/api/v1/artifacts", Artifacts),
    (r"/fleet/api/v1/artifacts/(?P<run>[A-Za-z0-9._-]{1,64})/(?P<artifact>[A-Za-z0-9._-]{1,64})", ArtifactFile),
]
