"""The routes of the runtime: parse, call the service, answer."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.auth.identity import deployment_of
from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.runtime.models import PatchSettings

RESOURCE = "fleet.runtime"


class RuntimeSettings(Handler):
    """The settings of this server."""

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """What is set, without secrets."""
        self.audited = "settings.read"
        self.answer(self.house.runtime.settings(deployment_of(self).app_env))

    @authorized("write", RESOURCE)
    async def patch(self) -> None:
        """Change some, where APP_ENV is local."""
        self.answer(self.house.runtime.change(deployment_of(self).app_env, self.read(PatchSettings)))


class RuntimeStatus(Handler):
    """How this server is doing."""

    _track_activity = False

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """Models, kernels, runs, readiness, and the last checks."""
        self.answer(await self.house.runtime.status(deployment_of(self).app_env, self.identity_provider))


class CheckLM(Handler):
    """A check of the model."""

    @authorized("execute", RESOURCE)
    async def post(self) -> None:
        """Ask it one short question."""
        self.answer(await self.house.runtime.check_lm(Owner.of(self.identity)))


class CheckSandbox(Handler):
    """A check of the sandbox."""

    @authorized("execute", RESOURCE)
    async def post(self) -> None:
        """Start one and let it compute."""
        self.answer(await self.house.runtime.check_sandbox())


_RUNTIME = r"/fleet/api/v1/runtime"

ROUTES: list[tuple[str, type[Any]]] = [
    (_RUNTIME + "/settings", RuntimeSettings),
    (_RUNTIME + "/status", RuntimeStatus),
    (_RUNTIME + "/tests/lm", CheckLM),
    (_RUNTIME + "/tests/sandbox", CheckSandbox),
]
