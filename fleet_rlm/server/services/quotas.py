"""Quotas: what is about to be used is reserved in the store, and settled there to what was used, as it is used.

A reservation lapses with the lease of a run, and is renewed as often as long as the work goes on here: a server that
crashed takes nothing with it. All of it is counted in the store, so neither tasks nor servers at once pass a limit.

    reserved = await quotas.reserve(owner, runs_per_day=1, runs_at_once=1)
    reserved.settle(runs_per_day=1)                    # this much was used; the rest stays reserved
    used_up = await quotas.charge(owner, tokens_per_day=420)
    reserved.close()                                   # the rest was not used
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
import math
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fleet_rlm.server.services.allowances import AT_ONCE, HELD, SANDBOXES_AT_ONCE, Allowance, Allowances
from fleet_rlm.server.services.errors import ServiceError
from fleet_rlm.server.services.owner import Owner

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Claim, Store

LEASE_S = 60.0
"""As long as the lease of a run: `fleet_rlm.sessions.store.verbs.runs.LEASE_S`."""

RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CLOSE_S = 10.0

logger = logging.getLogger("fleet_rlm")


class QuotaReached(ServiceError):
    """A quota is used up.

    Attributes:
        metric: of the quota.
        retry_after: seconds until it renews; None where something has to end first.
    """

    status, code = 429, "quota_exceeded"

    def __init__(self, message: str, metric: str, retry_after: int | None) -> None:
        super().__init__(message)
        self.metric = metric
        self.retry_after = retry_after


class Quotas:
    """The quotas of everybody.

    Args:
        store: gives where they are counted; called when that is first needed.
        tenant, user: the server-wide figures for each tenant and each user; see `allowances`.
        lease_s: after how many seconds a reservation lapses that is not renewed.

    Raises:
        UserError: a figure cannot be used.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        tenant: Mapping[str, Any] | None = None,
        user: Mapping[str, Any] | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self._store = store
        self._allowances = Allowances(store, tenant or {}, user or {})
        self._lease_s = lease_s
        self._held: dict[str, Reserved] = {}
        self._settling: defaultdict[str, set[asyncio.Task[Any]]] = defaultdict(set)
        self._keeping: asyncio.Task[None] | None = None

    async def reserve(self, owner: Owner, **amounts: int) -> Reserved:
        """Count amounts as used, by metric, where a limit is set; all of them or none.

        Raises:
            QuotaReached: one of them would pass a limit of the tenant or the user.
            StoreUnavailable: a limit is set and cannot be asked.
        """
        reserved = Reserved(self, owner, await self._claims(owner, amounts))
        if not reserved.claims:
            return reserved
        try:
            await self._reserve(reserved)
        except QuotaReached:
            ending = self._settling.get(owner.tenant)
            if not ending:
                raise
            await asyncio.wait(set(ending))  # what has just ended is about to be given back
            await self._reserve(reserved)
        self._held[reserved.id] = reserved
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep())
        return reserved

    async def charge(self, owner: Owner, **used: int) -> QuotaReached | None:
        """Count what was used and not reserved, where a limit is set, even beyond it; says which limit allows no more.

        Raises:
            StoreError: it cannot be counted now.
        """
        claims = await self._claims(owner, {metric: amount for metric, amount in used.items() if amount})
        if not claims:
            return None
        quotas = self._store().scoped(owner.account()).quotas
        counted = await quotas.asettle(secrets.token_hex(16), [claim for _, claim in claims])
        for allowance, claim in claims:
            if counted[claim.metric] >= allowance.most:
                return _reached(allowance)
        return None

    async def close(self) -> None:
        """Wait for what is being written; what stays reserved lapses."""
        if self._keeping is not None:
            self._keeping.cancel()
        tasks = {task for tasks in self._settling.values() for task in tasks}
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in tasks:
            task.cancel()

    async def _claims(self, owner: Owner, amounts: Mapping[str, int]) -> list[tuple[Allowance, Claim]]:
        claims: list[tuple[Allowance, Claim]] = []
        for metric, amount in amounts.items():
            for allowance in await self._allowances.of(owner, metric):
                from fleet_rlm.sessions.store import Claim

                period = None if metric in HELD else f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
                claims.append((allowance, Claim(allowance.counter, amount, allowance.most, period)))
        return claims

    async def _reserve(self, reserved: Reserved) -> None:
        from fleet_rlm.sessions.store import QuotaExceeded

        quotas = self._store().scoped(reserved.owner.account()).quotas
        try:
            await quotas.areserve(reserved.id, [claim for _, claim in reserved.claims], seconds=self._lease_s)
        except QuotaExceeded as full:
            raise _reached(next(one for one, claim in reserved.claims if claim.metric == full.metric)) from None

    async def _keep(self) -> None:
        """Renew what is reserved here, as long as anything is."""
        from fleet_rlm.sessions.store import StoreError

        while self._held:
            await asyncio.sleep(self._lease_s / 3)
            by_tenant: defaultdict[str, list[Reserved]] = defaultdict(list)
            for reserved in self._held.values():
                by_tenant[reserved.owner.tenant].append(reserved)
            for mine in by_tenant.values():
                held = {one.id: [claim for _, claim in one.claims] for one in mine}
                try:
                    quotas = self._store().scoped(mine[0].owner.account()).quotas
                    await quotas.arenew(held, seconds=self._lease_s)
                    for one in mine:
                        if over := one.without(held[one.id]):  # settled meanwhile, and renewed all the same
                            await quotas.asettle(one.id, over)
                except StoreError as fault:
                    logger.warning("what is reserved could not be renewed, and will be: %s", fault)

    def give_back(self, reserved: Reserved, settled: list[tuple[Allowance, Claim]]) -> None:
        """Write meanwhile what was used of these claims; used by `Reserved`."""
        if not reserved.claims:
            self._held.pop(reserved.id, None)
        if settled:
            tasks = self._settling[reserved.owner.tenant]
            task = asyncio.create_task(self._settle(reserved, [claim for _, claim in settled]))  # noqa: RUF006 - below
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _settle(self, reserved: Reserved, claims: list[Claim]) -> None:
        from fleet_rlm.sessions.store import StoreError, StoreUnavailable

        failures = 0
        while True:
            try:
                await self._store().scoped(reserved.owner.account()).quotas.asettle(reserved.id, claims)
                return
            except StoreUnavailable as fault:
                if not failures:
                    logger.warning("what was used waits for the store: %s", fault)
                await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
            except StoreError as fault:
                logger.error("what was used is not counted: %s", fault)
                return


class Reserved:
    """What is counted as used until it is settled.

    Attributes:
        id: of the holder, in the store.
        claims: what is still reserved.
    """

    def __init__(self, quotas: Quotas, owner: Owner, claims: list[tuple[Allowance, Claim]]) -> None:
        self.id = secrets.token_hex(16)
        self.owner = owner
        self.claims = claims
        self._quotas = quotas

    def settle(self, **used: int) -> None:
        """So much was used, by metric; other metrics stay reserved. What was settled before is left as it is."""
        over = [(one, claim) for one, claim in self.claims if one.metric in used]
        self.claims = [(one, claim) for one, claim in self.claims if one.metric not in used]
        settled = [(one, dataclasses.replace(claim, amount=used[one.metric])) for one, claim in over]
        self._quotas.give_back(self, settled)

    def holds(self, metric: str) -> bool:
        """Whether something of the metric is reserved."""
        return any(one.metric == metric for one, _ in self.claims)

    def without(self, claims: list[Claim]) -> list[Claim]:
        """Those of the claims that are not reserved any more, as nothing."""
        mine = {claim.metric for _, claim in self.claims}
        return [dataclasses.replace(one, amount=0, period=None) for one in claims if one.metric not in mine]

    def close(self) -> None:
        """What is still reserved was not used. Doing it twice is harmless."""
        self.settle(**{one.metric: 0 for one, _ in self.claims})


def _reached(allowance: Allowance) -> QuotaReached:
    if allowance.metric == AT_ONCE:
        return QuotaReached(f"{allowance}; wait until one ends, or stop one", allowance.metric, None)
    if allowance.metric == SANDBOXES_AT_ONCE:
        return QuotaReached(f"{allowance}; archive a session to close its own", allowance.metric, None)
    return QuotaReached(
        f"{allowance}, and that is used up; it renews at 00:00 UTC, or an administrator can raise it",
        allowance.metric,
        _until_midnight(),
    )


def _until_midnight() -> int:
    now = datetime.datetime.now(datetime.UTC)
    midnight = datetime.datetime.combine(now.date() + datetime.timedelta(days=1), datetime.time(), datetime.UTC)
    return math.ceil((midnight - now).total_seconds())
