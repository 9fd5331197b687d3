"""One row of the attack matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.server.auth.world import World

BAD = "401 invalid_token"
NOTHING = "401 no_credentials"
NO_SCOPE = "403 insufficient_scope"
GUEST = "403 guest_forbidden"
TENANT = "403 tenant_forbidden"
APP = "403 app_forbidden"
NO_ROLE = "403 permission_denied"
ORIGIN = "403 origin_forbidden"


@dataclass(frozen=True)
class Row:
    """An attempt in one phrase, what must come of it, and how it is made; `run` tells what did."""

    what: str
    must: str
    run: Callable[[World], str]
