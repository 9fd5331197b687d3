"""Quotas over a real store: never passed, given back, and lifted where an administrator says so."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.loop import submit
from fleet_rlm.server.services.allowances import AT_ONCE, COST, HELD, TENANT, USER
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.quotas import LEASE_S, QuotaReached, Quotas
from fleet_rlm.sessions.store import Store, StoreUnavailable, open_store
from fleet_rlm.sessions.store.tables import Reservation
from tests.twins.postgres import Postgres, running_postgres

ADA, BOB, EVE = Owner("acme", "ada"), Owner("acme", "bob"), Owner("other", "eve")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, on each database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/fleet.db"
    else:
        url = request.getfixturevalue("postgres").emptied().app
    opened = open_store(url)
    yield opened
    opened.close()


def used(store: Store, owner: Owner, metric: str) -> int:
    return store.scoped(owner.account()).quotas.get(metric, period=today()).used


def reserved(store: Store, owner: Owner, metric: str) -> int:
    period = None if metric == AT_ONCE else today()
    return store.scoped(owner.account()).quotas.reserved(metric, period=period)


async def lapses(store: Store, owner: Owner) -> datetime.datetime | None:
    """When the first of an owner's reservations lapses."""

    async def ask() -> datetime.datetime | None:
        async with store.scoped(owner.account()).unit(writes=False) as unit:
            return await unit.first(select(Reservation.expires_at))

    return await asyncio.wrap_future(submit(ask()))


def today() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"


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
    assert reserved(store, ADA, "tokens_per_day") == 98
    assert reserved(store, EVE, "tokens_per_day") == 0


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
    assert used(store, ADA, "runs_per_day") == reserved(store, ADA, "runs_per_day") == 0


def test_what_goes_on_at_once_is_counted_over_all_servers_and_ends_with_the_run(store: Store) -> None:
    async def main() -> None:
        servers = [Quotas(lambda: store, {"runs_at_once": 2}, {"runs_at_once": 1}) for _ in range(2)]
        ada, _ = await servers[0].reserve(ADA, runs_at_once=1), await servers[1].reserve(BOB, runs_at_once=1)
        for server in servers:
            with pytest.raises(QuotaReached, match="going on at once; wait until one ends") as refused:
                await server.reserve(ADA, runs_at_once=1)
            assert refused.value.retry_after is None
        await servers[0].reserve(EVE, runs_at_once=1)
        ada.close()
        ada.close()
        await servers[0].reserve(ADA, runs_at_once=1)  # what was given back a moment ago is waited for
        for server in servers:
            await server.close()

    asyncio.run(main())
    assert reserved(store, ADA, AT_ONCE) == 2


@pytest.mark.parametrize("metric", sorted(HELD))
def test_two_servers_that_race_for_the_last_place_have_one_winner(store: Store, metric: str) -> None:
    async def main() -> None:
        servers = [Quotas(lambda: store, {metric: 1}) for _ in range(2)]
        for _ in range(10):
            racing = [server.reserve(ADA, **{metric: 1}) for server in servers]
            told = await asyncio.gather(*racing, return_exceptions=True)
            winners = [one for one in told if not isinstance(one, BaseException)]
            assert [type(one) for one in told if isinstance(one, BaseException)] == [QuotaReached]
            winners[0].close()
            for server in servers:
                await server.close()

    asyncio.run(main())


def test_the_place_of_a_server_that_crashed_is_free_when_its_lease_is_over(store: Store) -> None:
    async def main() -> None:
        crashed = Quotas(lambda: store, {"runs_at_once": 1, "runs_per_day": 1}, lease_s=0)
        await crashed.reserve(ADA, runs_at_once=1, runs_per_day=1)
        await crashed.close()  # nothing renews it any more, and nothing gives it back
        other = Quotas(lambda: store, {"runs_at_once": 1, "runs_per_day": 1})
        await other.reserve(ADA, runs_at_once=1, runs_per_day=1)
        await other.close()

    asyncio.run(main())


def test_a_server_that_works_keeps_what_it_reserved_beyond_a_lease(store: Store) -> None:
    async def main() -> None:
        working = Quotas(lambda: store, {"runs_at_once": 1}, lease_s=0.3)
        held = await working.reserve(ADA, runs_at_once=1)
        ends = {await lapses(store, ADA)}
        while len(ends) < 5:  # renewed four times, a tenth of a second apart: longer than the lease
            await asyncio.sleep(0.01)
            ends.add(await lapses(store, ADA))
        with pytest.raises(QuotaReached):
            await Quotas(lambda: store, {"runs_at_once": 1}).reserve(ADA, runs_at_once=1)
        held.close()
        await working.close()
        assert await lapses(store, ADA) is None

    asyncio.run(asyncio.wait_for(main(), 30))


def test_what_was_used_is_charged_as_it_goes_and_says_when_no_more_is_allowed(store: Store) -> None:
    async def main() -> None:
        quotas = Quotas(lambda: store, {"tokens_per_day": 100}, {COST: 0.5})
        held = await quotas.reserve(ADA, tokens_per_day=1, cost_usd_per_day=1)
        held.settle(tokens_per_day=0)
        assert await quotas.charge(ADA, tokens_per_day=60, cost_usd_per_day=0) is None
        assert await quotas.charge(ADA, cost_usd_per_day=499_999) is None
        told = await quotas.charge(ADA, tokens_per_day=60)
        assert told is not None
        assert (told.metric, str(told)) == (
            "tokens_per_day",
            "this organisation may use 100 tokens a day, and that is used up; it renews at 00:00 UTC, "
            "or an administrator can raise it",
        )
        assert await quotas.charge(EVE, tokens_per_day=60) is None
        held.close()
        await quotas.close()

    asyncio.run(main())
    assert used(store, ADA, "tokens_per_day") == 120
    assert used(store, ADA, f"{COST} of ada") == 499_999
    assert reserved(store, ADA, f"{COST} of ada") == 0


def test_what_was_used_while_the_store_was_away_is_counted_when_it_is_back(
    store: Store,
) -> None:
    away = open_store("postgresql://fleet_app@127.0.0.1:9/fleet")
    stores = [store, store, away, store]  # for the limits, the reservation, and twice for what was used

    async def main() -> None:
        quotas = Quotas(lambda: stores.pop(0) if len(stores) > 1 else store, {"tokens_per_day": 100})
        held = await quotas.reserve(ADA, tokens_per_day=10)
        held.settle(tokens_per_day=7)
        await quotas.close()

    asyncio.run(main())
    assert stores == [store]
    assert used(store, ADA, "tokens_per_day") == 7
    away.close()


def test_the_lease_is_that_of_a_run() -> None:
    from fleet_rlm.sessions.store.verbs import runs

    assert LEASE_S == runs.LEASE_S


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
