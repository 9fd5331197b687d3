"""Quotas over a real store: never passed, given back, and lifted where an administrator says so."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.quotas import COST, TENANT, USER, QuotaReached, Quotas
from fleet_rlm.sessions.store import Store, StoreUnavailable, open_store

ADA, BOB, EVE = Owner("acme", "ada"), Owner("acme", "bob"), Owner("other", "eve")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/fleet.db")
    yield opened
    opened.close()


def used(store: Store, owner: Owner, metric: str) -> int:
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    return store.scoped(owner.account()).quotas.get(metric, period=today).used


def test_reservations_at_once_never_pass_a_limit(store: Store) -> None:
    async def main() -> list[bool]:
        servers = [Quotas(lambda: store, {"tokens_per_day": 100}) for _ in range(3)]

        async def one(number: int) -> bool:
            try:
                await servers[number % 3].reserve((ADA, BOB)[number % 2], tokens_per_day=7)
            except QuotaReached:
                return False
            return True

        return await asyncio.gather(*[one(number) for number in range(60)])

    assert sum(asyncio.run(main())) == 100 // 7
    assert used(store, ADA, "tokens_per_day") == 98
    assert used(store, EVE, "tokens_per_day") == 0


def test_what_was_not_used_is_given_back_and_what_was_is_kept_even_beyond_the_limit(store: Store) -> None:
    async def main() -> None:
        quotas = Quotas(lambda: store, {"tokens_per_day": 100})
        first = await quotas.reserve(ADA, tokens_per_day=90)
        with pytest.raises(QuotaReached) as refused:
            await quotas.reserve(ADA, tokens_per_day=20)
        assert 0 < (refused.value.retry_after or 0) <= 86_400
        first.settle(tokens_per_day=10)
        await quotas.close()
        second = await quotas.reserve(ADA, tokens_per_day=20)
        second.settle(tokens_per_day=200)
        second.settle(tokens_per_day=200)
        await quotas.close()
        with pytest.raises(QuotaReached):
            await quotas.reserve(ADA, tokens_per_day=1)

    asyncio.run(main())
    assert used(store, ADA, "tokens_per_day") == 210


def test_all_of_a_reservation_is_counted_or_none(store: Store) -> None:
    async def main() -> None:
        quotas = Quotas(lambda: store, {"runs_per_day": 9, COST: 0.0}, {"runs_at_once": 1})
        for _ in range(2):
            with pytest.raises(QuotaReached, match="dollars a day"):
                await quotas.reserve(ADA, runs_at_once=1, runs_per_day=1, cost_usd_per_day=1)
        await quotas.close()

    asyncio.run(main())
    assert used(store, ADA, "runs_per_day") == 0


def test_what_goes_on_at_once_ends_with_the_run(store: Store) -> None:
    async def main() -> None:
        quotas = Quotas(lambda: store, {"runs_at_once": 2}, {"runs_at_once": 1})
        ada, _ = await quotas.reserve(ADA, runs_at_once=1), await quotas.reserve(BOB, runs_at_once=1)
        with pytest.raises(QuotaReached, match="going on at once"):
            await quotas.reserve(ADA, runs_at_once=1)
        await quotas.reserve(EVE, runs_at_once=1)
        ada.ended()
        ada.ended()
        await quotas.reserve(ADA, runs_at_once=1)

    asyncio.run(main())


def test_the_store_of_a_tenant_and_of_a_user_goes_before_the_servers_figures(store: Store) -> None:
    store.scoped(ADA.account()).settings.set(TENANT, {"runs_per_day": None}, for_tenant=True)
    store.scoped(ADA.account()).settings.set(USER, {"runs_per_day": 2}, for_tenant=True)
    store.scoped(BOB.account()).settings.set(USER, {"runs_per_day": 3})

    async def main() -> None:
        quotas = Quotas(lambda: store, {"runs_per_day": 1}, {"runs_per_day": 1})
        for owner, most in ((ADA, 2), (BOB, 3), (EVE, 1)):
            for _ in range(most):
                await quotas.reserve(owner, runs_per_day=1)
            with pytest.raises(QuotaReached):
                await quotas.reserve(owner, runs_per_day=1)

    asyncio.run(main())


def test_without_a_limit_nothing_is_counted_and_a_store_that_is_away_does_not_matter(tmp_path: Path) -> None:
    away = open_store("postgresql://fleet_app@127.0.0.1:9/fleet")

    async def main() -> None:
        await Quotas(lambda: away).reserve(ADA, runs_per_day=1, runs_at_once=1)
        with pytest.raises(StoreUnavailable):
            await Quotas(lambda: away, {"runs_per_day": 5}).reserve(ADA, runs_per_day=1)

    asyncio.run(main())
    away.close()


@pytest.mark.parametrize(
    "given", [{"runs": 1}, {"runs_per_day": -1}, {"runs_per_day": 1.5}, {COST: "1"}, {"runs_per_day": True}]
)
def test_a_quota_that_means_nothing_stops_the_start(store: Store, given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"FleetApp\.user_quotas"):
        Quotas(lambda: store, {}, given)
