"""Quotas: what a tenant and a user may use, reserved before and settled after; nothing is limited unless set.

Server-wide figures come with the server; the store may hold others for a tenant or a user. What is used in a day (UTC)
is counted in the store, by one conditional statement each, so that neither tasks nor servers at once pass a limit. What
goes on at once is counted here, and ends with the run.

    reserved = await quotas.reserve(owner, runs_per_day=1)
    ...
    reserved.settle(runs_per_day=1)
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.services.errors import ServiceError
from fleet_rlm.server.services.owner import Owner

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Store

AT_ONCE = "runs_at_once"
COST = "cost_usd_per_day"
METRICS = ("runs_per_day", "tokens_per_day", COST, "sandboxes_per_day", AT_ONCE)
TENANT, USER = "quotas.tenant", "quotas.user"
"""Settings of the store: of a tenant, both; of one user, the second, before the tenant's."""

KNOWN_S = 15.0
"""How long what the store says of limits is used again."""

MICRO = 1_000_000
"""Money is counted in millionths of a dollar, because counters are whole numbers."""

logger = logging.getLogger("fleet_rlm")

Kind = str  # TENANT or USER
Figures = Mapping[str, float | None]


class QuotaReached(ServiceError):
    """A quota is used up.

    Attributes:
        metric: of the quota.
        retry_after: seconds until it renews; None where a run has to end first.
    """

    status, code = 429, "quota_exceeded"

    def __init__(self, message: str, metric: str, retry_after: int | None) -> None:
        super().__init__(message)
        self.metric = metric
        self.retry_after = retry_after


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


class Quotas:
    """The quotas of everybody.

    Args:
        store: gives where limits and counts are kept; called when that is first needed.
        tenant, user: the server-wide figures for each tenant and each user.

    Raises:
        UserError: a figure cannot be used.
    """

    def __init__(
        self, store: Callable[[], Store], tenant: Mapping[str, Any] | None = None, user: Mapping[str, Any] | None = None
    ) -> None:
        self._store = store
        self._defaults: dict[Kind, Figures] = {
            TENANT: checked(tenant or {}, "FleetApp.tenant_quotas"),
            USER: checked(user or {}, "FleetApp.user_quotas"),
        }
        self._known: dict[Owner, tuple[float, dict[Kind, Figures]]] = {}
        self._set: dict[tuple[str, str, str], int] = {}
        self._going: Counter[str | Owner] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def reserve(self, owner: Owner, **amounts: int) -> Reserved:
        """Count amounts as used, by metric, where a limit is set; all of them or none.

        Raises:
            QuotaReached: one of them would pass a limit of the tenant or the user.
            StoreUnavailable: a limit is set and cannot be asked.
        """
        limits = await self._limits(owner)
        reserved = Reserved(self, owner, _today())
        try:
            for metric, amount in amounts.items():
                for kind in (TENANT, USER):
                    limit = limits[kind].get(metric)
                    if limit is not None:
                        await self._count(reserved, kind, metric, amount, limit)
        except BaseException:
            reserved.settle()
            raise
        return reserved

    def later(self, work: Any) -> None:
        """Write something to the store meanwhile."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=10)

    async def _count(self, reserved: Reserved, kind: Kind, metric: str, amount: int, limit: float) -> None:
        owner = reserved.owner
        whose = "this organisation" if kind == TENANT else "you"
        if metric == AT_ONCE:
            key: str | Owner = owner.tenant if kind == TENANT else owner
            if self._going[key] + amount > limit:
                raise QuotaReached(
                    f"{whose} may have {limit:g} runs going on at once; wait until one ends, or stop one", metric, None
                )
            self._going[key] += amount
            reserved.going.append((key, amount))
            return
        from fleet_rlm.sessions.store import QuotaExceeded

        counter = metric if kind == TENANT else f"{metric} of {owner.user}"
        most = round(limit * MICRO) if metric == COST else int(limit)
        quotas = self._store().scoped(owner.account()).quotas
        place = (owner.tenant, counter, reserved.period)
        if self._set.get(place) != most:
            if len(self._set) > 10_000:  # of days gone by
                self._set.clear()
            await quotas.alimit(counter, most, period=reserved.period)
            self._set[place] = most
        try:
            await quotas.areserve(counter, amount, period=reserved.period)
        except QuotaExceeded:
            what = metric.removesuffix("_per_day").replace("cost_usd", "dollars")
            raise QuotaReached(
                f"{whose} may use {limit:,g} {what} a day, and that is used up; it renews at 00:00 UTC, or an "
                "administrator can raise it",
                metric,
                _until_midnight(),
            ) from None
        reserved.counted.append((metric, counter, amount))

    async def _limits(self, owner: Owner) -> dict[Kind, Figures]:
        """Of the store, above the server-wide ones."""
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

    def end(self, going: list[tuple[str | Owner, int]]) -> None:
        """Something does not go on any more."""
        for key, amount in going:
            self._going[key] -= amount
            if not self._going[key]:
                del self._going[key]
        going.clear()

    async def settle(self, reserved: Reserved, used: Mapping[str, int]) -> None:
        """Put what was used in the place of what was reserved."""
        from fleet_rlm.sessions.store import StoreError

        counted, reserved.counted = reserved.counted, []
        try:
            quotas = self._store().scoped(reserved.owner.account()).quotas
            for metric, counter, amount in counted:
                if used.get(metric, 0) != amount:
                    await quotas.asettle(counter, amount, used.get(metric, 0), period=reserved.period)
        except StoreError as fault:
            logger.error("what was reserved stays counted until the day ends: %s", fault)


class Reserved:
    """What is counted as used, until it is settled."""

    def __init__(self, quotas: Quotas, owner: Owner, period: str) -> None:
        self.owner, self.period = owner, period
        self.counted: list[tuple[str, str, int]] = []
        self.going: list[tuple[str | Owner, int]] = []
        self._quotas = quotas

    def ended(self) -> None:
        """It does not go on any more; doing it twice is harmless."""
        self._quotas.end(self.going)

    def settle(self, **used: int) -> None:
        """It is over and used so much, by metric; what is not named was not used. Doing it twice is harmless."""
        self.ended()
        if self.counted:
            self._quotas.later(self._quotas.settle(self, used))


def _today() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"


def _until_midnight() -> int:
    now = datetime.datetime.now(datetime.UTC)
    midnight = datetime.datetime.combine(now.date() + datetime.timedelta(days=1), datetime.time(), datetime.UTC)
    return math.ceil((midnight - now).total_seconds())
