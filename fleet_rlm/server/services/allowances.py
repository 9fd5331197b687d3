"""Allowances: how much each tenant and each user may use; nothing is limited unless it is set.

Server-wide figures come with the server; the store may hold others for a tenant or a user, which go before.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.services.owner import Owner

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Store

AT_ONCE = "runs_at_once"
COST = "cost_usd_per_day"
SANDBOXES_AT_ONCE = "sandboxes_at_once"
METRICS = ("runs_per_day", "tokens_per_day", COST, "sandboxes_per_day", AT_ONCE, SANDBOXES_AT_ONCE)
HELD = frozenset({AT_ONCE, SANDBOXES_AT_ONCE})
"""What is held for as long as something goes on, and not used up by the day."""

TENANT, USER = "quotas.tenant", "quotas.user"
"""Settings of the store: of a tenant, both; of one user, the second, before the tenant's."""

MICRO = 1_000_000
"""Money is counted in millionths of a dollar, because counters are whole numbers."""

KNOWN_S = 15.0
"""How long what the store says is used again."""

logger = logging.getLogger("fleet_rlm")

Kind = str  # TENANT or USER
Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Allowance:
    """What somebody may use of a metric.

    Attributes:
        counter: under which it is counted in the tenant's part of the store.
        limit: as an administrator wrote it.
    """

    metric: str
    kind: Kind
    counter: str
    limit: float

    @property
    def most(self) -> int:
        """The limit as it is counted."""
        return round(self.limit * MICRO) if self.metric == COST else int(self.limit)

    def __str__(self) -> str:
        """For people."""
        whose = "this organisation may" if self.kind == TENANT else "you may"
        if self.metric == AT_ONCE:
            return f"{whose} have {self.limit:g} runs going on at once"
        if self.metric == SANDBOXES_AT_ONCE:
            return f"{whose} have {self.limit:g} sandboxes at once, one for each session that is open in a kernel"
        what = self.metric.removesuffix("_per_day").replace("cost_usd", "dollars")
        return f"{whose} use {self.limit:,g} {what} a day"


def checked(figures: Mapping[str, Any], where: str) -> dict[str, float | None]:
    """Figures an administrator gave; None lifts a limit.

    Raises:
        UserError: there is no such quota, or a figure is no number from 0 on.
    """
    for metric, figure in figures.items():
        if metric not in METRICS:
            raise UserError(f"{where} has no quota {metric!r}; there are {', '.join(METRICS)}")
        number = isinstance(figure, int | float) and not isinstance(figure, bool) and 0 <= figure < math.inf
        if figure is not None and not (number and (metric == COST or figure == int(figure))):
            raise UserError(f"{where}[{metric!r}] must be a number from 0 on, whole but for dollars, not {figure!r}")
    return dict(figures)


class Allowances:
    """The allowances of everybody.

    Args:
        store: gives where those of tenants and users are kept; called when that is first needed.
        tenant, user: the server-wide figures for each tenant and each user.

    Raises:
        UserError: a figure cannot be used.
    """

    def __init__(self, store: Callable[[], Store], tenant: Mapping[str, Any], user: Mapping[str, Any]) -> None:
        self._store = store
        self._defaults: dict[Kind, Figures] = {
            TENANT: checked(tenant, "FleetApp.tenant_quotas"),
            USER: checked(user, "FleetApp.user_quotas"),
        }
        self._known: dict[Owner, tuple[float, dict[Kind, Figures]]] = {}

    async def of(self, owner: Owner, metric: str) -> Iterator[Allowance]:
        """What limits an owner in this metric: their tenant's allowance, their own, both, or none."""
        figures = await self._figures(owner)
        counters = {TENANT: metric, USER: f"{metric} of {owner.user}"}
        limits = {kind: figures[kind].get(metric) for kind in counters}
        return (Allowance(metric, kind, counters[kind], one) for kind, one in limits.items() if one is not None)

    async def _figures(self, owner: Owner) -> dict[Kind, Figures]:
        until, known = self._known.get(owner, (0.0, self._defaults))
        if time.monotonic() < until:
            return known
        from fleet_rlm.sessions.store import StoreUnavailable

        try:
            told = await self._store().scoped(owner.account()).settings.aall()
            known = {
                kind: {**self._defaults[kind], **checked(told.get(kind) or {}, f"the setting {kind}")}
                for kind in (TENANT, USER)
            }
        except StoreUnavailable as fault:
            logger.warning("the limits of a user are those known before: %s", fault)
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[owner] = (time.monotonic() + KNOWN_S, known)
        return known
