"""What a tenant may use: reserved before, settled after, and given back by itself where whoever reserved it is gone.

Counted as used is what was settled in the period and what is reserved and has not lapsed. All that changes either goes
one after the other for each tenant, so neither tasks nor servers at once pass a limit.

    await quotas.areserve(holder, [Claim("tokens", 500, limit=10_000, period="2026-11-25"), Claim("runs", 1, limit=2)])
    await quotas.arenew({holder: claims})      # from time to time, as long as the work goes on
    await quotas.asettle(holder, [Claim("tokens", 420, period="2026-11-25"), Claim("runs", 1)])
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select

from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.store.columns import now
from fleet_rlm.sessions.store.errors import QuotaExceeded
from fleet_rlm.sessions.store.tables import Quota, Reservation
from fleet_rlm.sessions.store.unit import Unit
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, named, verb
from fleet_rlm.sessions.store.verbs.runs import LEASE_S

AT_ONCE = "at once"
"""The period, as an error names it, of what ends with its holder."""

_LOCK = "quotas"


@dataclass(frozen=True)
class Claim:
    """So much of a metric.

    Attributes:
        limit: what may be used of it; None refuses nothing.
        period: whose quota it counts against; None where only what goes on at once is limited.

    Raises:
        UserError: the amount is negative.
    """

    metric: str
    amount: int
    limit: int | None = None
    period: str | None = None

    def __post_init__(self) -> None:
        named("metric", self.metric)
        if self.amount < 0:
            raise UserError(f"an amount is at least 0, not {self.amount}; settle gives back what was not used")


class Quotas(Verbs):
    """What the tenant uses. A holder is named by an id that nobody else has."""

    @verb
    async def areserve(self, holder: str, claims: Sequence[Claim], *, seconds: float = LEASE_S) -> None:
        """Count all of the claims as used for so many seconds, or none of them.

        Raises:
            QuotaExceeded: one would pass its limit.
        """
        async with self._write() as unit:
            await unit.locked(_LOCK)
            present = now()
            await unit.change(delete(Reservation).where(Reservation.expires_at <= present))
            quotas = await _quotas(unit, claims)
            held = await _held(unit, claims)
            for claim in claims:
                quota = quotas.get((claim.metric, claim.period))
                used = held.get((claim.metric, claim.period), 0) + (quota.used if quota is not None else 0)
                if claim.limit is not None and used + claim.amount > claim.limit:
                    raise QuotaExceeded(claim.metric, claim.period or AT_ONCE, claim.amount, used, claim.limit)
            await unit.insert(*_rows(holder, claims, present, seconds))
            for claim in claims:
                quota = quotas.get((claim.metric, claim.period))
                if claim.period is not None and (quota is None or quota.limit != claim.limit):
                    new = Quota(metric=claim.metric, period=claim.period, limit=claim.limit)
                    await unit.insert(new, again=("limit",))

    @verb
    async def arenew(self, held: Mapping[str, Sequence[Claim]], *, seconds: float = LEASE_S) -> None:
        """Put off when the claims of these holders lapse; those that have lapsed meanwhile count again."""
        present = now()
        rows = [row for holder, claims in held.items() for row in _rows(holder, claims, present, seconds)]
        async with self._write() as unit:
            await unit.locked(_LOCK)
            await unit.insert(*rows, again=("expires_at",))

    @verb
    async def asettle(self, holder: str, claims: Sequence[Claim]) -> dict[str, int]:
        """Put what was used in the place of what was reserved of these metrics, even where that passes a limit.

        Returns:
            what is used in the period, by metric; what was counted at once only is not in it.
        """
        used: dict[str, int] = {}
        async with self._write() as unit:
            await unit.locked(_LOCK)
            mine = [claim.metric for claim in claims]
            await unit.change(delete(Reservation).where(Reservation.id == holder, Reservation.metric.in_(mine)))
            for claim in claims:
                if claim.period is not None:
                    quota = Quota(metric=claim.metric, period=claim.period, limit=claim.limit, used=claim.amount)
                    used[claim.metric] = await unit.insert_or(quota, _added, Quota.used)
        return used

    @verb
    async def aget(self, metric: str, *, period: str) -> Quota:
        """The limit and what is used; an unknown metric has neither. What is reserved is not in it."""
        async with self._read() as unit:
            kept = await unit.first(select(Quota).where(Quota.metric == metric, Quota.period == period))
        return kept or Quota(tenant_id=self.identity.tenant, metric=metric, period=period)

    @verb
    async def areserved(self, metric: str, *, period: str | None = None) -> int:
        """What is reserved of a metric and has not lapsed."""
        async with self._read() as unit:
            return (await _held(unit, [Claim(metric, 0, period=period)])).get((metric, period), 0)

    reserve = blocking(areserve)
    renew = blocking(arenew)
    settle = blocking(asettle)
    get = blocking(aget)
    reserved = blocking(areserved)


def _added(new: Any) -> dict[str, Any]:
    return {"used": Quota.used + new.used}


def _rows(holder: str, claims: Sequence[Claim], present: datetime.datetime, seconds: float) -> list[Reservation]:
    until = present + datetime.timedelta(seconds=seconds)
    return [
        Reservation(id=holder, metric=one.metric, period=one.period, amount=one.amount, expires_at=until)
        for one in claims
    ]


async def _quotas(unit: Unit, claims: Sequence[Claim]) -> dict[tuple[str, str | None], Quota]:
    metrics, periods = [one.metric for one in claims], {one.period for one in claims if one.period is not None}
    found = await unit.all(select(Quota).where(Quota.metric.in_(metrics), Quota.period.in_(periods)))
    return {(one.metric, one.period): one for one in found}


async def _held(unit: Unit, claims: Sequence[Claim]) -> dict[tuple[str, str | None], int]:
    query = (
        select(Reservation.metric, Reservation.period, func.sum(Reservation.amount))
        .where(Reservation.metric.in_([one.metric for one in claims]), Reservation.expires_at > now())
        .group_by(Reservation.metric, Reservation.period)
    )
    return {(metric, period): int(amount) for metric, period, amount in await unit.rows(query)}
