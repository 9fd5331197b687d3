"""The route of the description."""

from __future__ import annotations

import json
from typing import Any

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.auth.permission import SELF
from fleet_rlm.server.base import Handler


class Description(Handler):
    """What this API is, as OpenAPI 3.1."""

    @authorized("read", SELF)
    async def get(self) -> None:
        """All routes, with what they take and answer."""
        from fleet_rlm.server.openapi import document  # which looks at all routes, this one too

        self.finish(json.dumps(document(self.base_url)))


ROUTES: list[tuple[str, type[Any]]] = [(r"/fleet/openapi.json", Description)]
