"""House: all services of one server, made once and closed in order; what handlers find everything by."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.settings import Settings
from fleet_rlm.server import metrics
from fleet_rlm.server.services.artifacts.service import ArtifactService
from fleet_rlm.server.services.audit import Audit
from fleet_rlm.server.services.errands import Errands
from fleet_rlm.server.services.health.readiness import Readiness
from fleet_rlm.server.services.kernels.service import Kernels, Rules
from fleet_rlm.server.services.lm.grants import Grants
from fleet_rlm.server.services.lm.service import Gateway
from fleet_rlm.server.services.lm.upstream import models_of
from fleet_rlm.server.services.memory.service import MemoryService
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.quotas import Quotas
from fleet_rlm.server.services.rates import Rates
from fleet_rlm.server.services.runs.door import Door
from fleet_rlm.server.services.runs.live import LiveRuns
from fleet_rlm.server.services.runs.owned import Owned
from fleet_rlm.server.services.runs.reading import Reading
from fleet_rlm.server.services.runs.service import RunService
from fleet_rlm.server.services.runtime.service import RuntimeService
from fleet_rlm.server.services.sessions.service import SessionService
from fleet_rlm.server.services.volumes.service import VolumeService

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Store


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an administrator allows.

    Attributes:
        rules: for kernels.
        lm_calls, lm_tokens: the most one run may be given at the gateway; None is no limit.
        slow_client_s: how long a WebSocket may take nothing.
        sockets: how many WebSockets one user may have open.
        volume_bytes, volume_files: what uploads may fill a volume up to.
        tenant_quotas, user_quotas: by metric, see `quotas`; without a figure there is no limit.
        rates: requests a minute of one user, by class, see `rates`.
    """

    rules: Rules
    lm_calls: int | None
    lm_tokens: int | None
    slow_client_s: float
    sockets: int = 500
    volume_bytes: int = 10_000_000_000
    volume_files: int = 10_000
    tenant_quotas: Mapping[str, Any] = field(default_factory=dict)
    user_quotas: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)


class House:
    """The services of one server.

    Args:
        manager: the Jupyter server's kernel manager.
        environ: the environment; the process's own by default.

    Attributes:
        limits, settings: what an administrator allows, and the environment's settings.
        audit, quotas, rates, door: what is noted, and what is limited.
        sockets: how many WebSockets each user has open.
        runs, reading: what is done with runs, and what they tell.
        gateway, kernels, sessions, artifacts, volumes, memory, readiness, runtime: the other services.

    Raises:
        UserError: a variable cannot be used.
    """

    def __init__(self, manager: Any, limits: Limits, environ: Mapping[str, str] | None = None) -> None:
        environ = dict(os.environ if environ is None else environ)  # what `runtime` changes, kernels see
        self.limits = limits
        self.sockets: Counter[Owner] = Counter()
        self.settings = Settings.from_environ(environ)
        self.audit = Audit(lambda: self.store)
        self.quotas = Quotas(lambda: self.store, limits.tenant_quotas, limits.user_quotas)
        self.rates = Rates(limits.rates)
        self.door = Door(self.quotas, self.audit)
        self.gateway = Gateway(models_of(environ), Grants(limits.lm_calls, limits.lm_tokens), self.quotas)
        base: Path = self.settings.home
        self.kernels = Kernels(
            manager,
            base=base,
            environ=environ,
            rules=limits.rules,
            model_for=self.gateway.environment,
            forget=self.gateway.grants.revoke,
            place_for=lambda owner: self.quotas.reserve(owner, sandboxes_at_once=1),
        )
        metrics.KERNELS.set_function(lambda: self.kernels.own)
        self._live = self.kernels.listener = LiveRuns(lambda: self.store, self.door)
        self._owned = Owned(self._live, lambda: self.store, base)
        self.reading = Reading(self._owned, self._live, self.kernels, base)
        self.runs = RunService(
            self.kernels,
            self._owned,
            self._live,
            allow=self.gateway.grants.allow,
            models=lambda: self.gateway.models,
            door=self.door,
        )
        errands = Errands(environ)
        self.sessions = SessionService(self.kernels, self._owned.scope, errands, self._live.forget)
        self.artifacts = ArtifactService(self._owned.scope, base)
        self.volumes = VolumeService(base, limits.volume_bytes, limits.volume_files)
        self.memory = MemoryService(self.runs, self.kernels, self._owned.scope)
        self.readiness = Readiness(self.gateway, lambda: self.store, errands, base)
        self.runtime = RuntimeService(
            environ,
            gateway=self.gateway,
            kernels=self.kernels,
            live=self._live,
            errands=errands,
            readiness=self.readiness,
            base=base,
        )

    @functools.cached_property
    def store(self) -> Store:
        """The store; loaded when it is first used, because SQLAlchemy takes more than half a second."""
        from fleet_rlm.sessions.store import open_store

        return open_store(settings=self.settings)

    async def close(self) -> None:
        """End the kernels, then write what they told, then let go of everything."""
        await self.kernels.close()
        await self._live.close()
        self._owned.close()
        await self.gateway.close()
        await self.door.close()
        await self.quotas.close()
        await self.audit.close()
        if "store" in self.__dict__:
            await self.store.aclose()
