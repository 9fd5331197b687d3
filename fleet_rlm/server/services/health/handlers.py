"""The routes of health: for probes, which have no sign-in, and for whoever wants to know who they are here."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated

from fleet_rlm import __version__
from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.auth.permission import ACTIONS, RESOURCES, SELF, permits
from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.health.models import Health, Me, Part


class Alive(Handler):
    """Whether the process answers; open to everybody, and says nothing else."""

    _track_activity = False

    @allow_unauthenticated
    async def get(self) -> None:
        """It does."""
        self.answer(Health(ok=True, version=__version__))


class ReadyNow(Handler):
    """Whether questions can be answered; open to everybody, with reasons for those who are signed in."""

    _track_activity = False

    @allow_unauthenticated
    async def get(self) -> None:
        """Try what answering needs; 503 where something of it fails."""
        found = await self.house.readiness.check(self.identity_provider)
        if self.current_user is None:
            bare = {name: Part(state=getattr(found, name).state, reason=None) for name in _PARTS}
            found = found.model_copy(update=bare)
        self.answer(found, 200 if found.ready else 503)


class WhoAmI(Handler):
    """Who is asking."""

    @authorized("read", SELF)
    async def get(self) -> None:
        """Tenant, user, roles, and what these allow."""
        identity, user = self.identity, self.current_user
        pairs = [(action, resource) for resource in sorted(RESOURCES) for action in ACTIONS]
        self.answer(
            Me(
                tenant=identity.tenant,
                user=identity.user,
                name=getattr(user, "display_name", None) or getattr(user, "name", None),
                roles=sorted(identity.roles),
                permissions=[f"{action} {one}" for action, one in pairs if permits(identity.roles, action, one)],
                expires_at=getattr(user, "exp", None) or None,
            )
        )


_PARTS = ("model", "store", "sandbox", "auth")

ROUTES: list[tuple[str, type[Any]]] = [
    (r"/fleet/health", Alive),
    (r"/fleet/ready", ReadyNow),
    (r"/fleet/api/v1/auth/me", WhoAmI),
]

PUBLIC = frozenset({r"/fleet/health", r"/fleet/ready"})
"""Whoever looks after a server from outside must not need a token of it."""
