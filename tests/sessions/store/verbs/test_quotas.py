"""Quotas and reservations on both databases: never passed, given back when they lapse, settled once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import select

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.loop import run_sync
from fleet_rlm.sessions.store import Claim, QuotaExceeded, Scope
from fleet_rlm.sessions.store.tables import Reservation

DAY = "2026-11-25"

RACER = """
import asyncio, sys
from fleet_rlm.sessions.store import Claim, Identity, QuotaExceeded, open_store

quotas = open_store(sys.argv[1]).scoped(Identity("acme", sys.argv[2])).quotas

async def tried(number):
    try:
        claims = [Claim("runs", 1, limit=5), Claim("tokens", 7, 1_000, "day")]
        await quotas.areserve(f"{sys.argv[2]} {number}", claims)
    except QuotaExceeded:
        return "lost"
    return "won"

async def main():
    return await asyncio.gather(*(tried(number) for number in range(20)))

quotas.reserved("runs")
print("ready", flush=True)
sys.stdin.readline()
print(*asyncio.run(main()))
"""


def tokens(amount: int, limit: int | None = 100) -> list[Claim]:
    return [Claim("tokens", amount, limit, DAY)]


async def holders(scope: Scope) -> set[str]:
    async with scope.unit(writes=False) as unit:
        return {one.id for one in await unit.all(select(Reservation))}


def test_reservations_at_once_never_pass_the_quota(mine: Scope) -> None:
    async def all_at_once() -> list[Any]:
        asked = (mine.quotas.areserve(f"h{number}", tokens(7)) for number in range(30))
        return await asyncio.gather(*asked, return_exceptions=True)

    results = asyncio.run(all_at_once())
    assert results.count(None) == 14
    assert all(result is None or isinstance(result, QuotaExceeded) for result in results)
    assert mine.quotas.reserved("tokens", period=DAY) == 98


def test_server_processes_that_race_for_the_last_places_get_no_more_than_there_are(url: str, mine: Scope) -> None:
    command = [sys.executable, "-c", RACER, url]
    racers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("ada", "carl")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    told = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=60)
        assert racer.returncode == 0
        told += out.split()
    assert (told.count("won"), told.count("lost")) == (5, 35)
    assert mine.quotas.reserved("runs") == 5
    assert mine.quotas.reserved("tokens", period="day") == 35


def test_all_claims_of_a_reservation_count_or_none(mine: Scope) -> None:
    with pytest.raises(QuotaExceeded, match=r"runs: 2 more would pass the quota of at once \(0 of 1 are used\)"):
        mine.quotas.reserve("h", [*tokens(5), Claim("runs", 2, limit=1)])
    assert mine.quotas.reserved("tokens", period=DAY) == 0
    assert mine.quotas.get("tokens", period=DAY).used == 0


def test_what_lapses_counts_nothing_and_is_swept(mine: Scope, theirs: Scope) -> None:
    claims = [*tokens(100), Claim("runs", 1, limit=1)]
    mine.quotas.reserve("of a server that is gone", claims, seconds=0)
    assert mine.quotas.reserved("tokens", period=DAY) == mine.quotas.reserved("runs") == 0
    mine.quotas.reserve("of another", claims)
    assert run_sync(holders(mine)) == {"of another"}
    with pytest.raises(QuotaExceeded):
        mine.quotas.reserve("of a third", claims)
    mine.quotas.settle("of another", [Claim("runs", 1)])
    assert mine.quotas.reserved("runs") == 0
    assert mine.quotas.reserved("tokens", period=DAY) == 100
    assert theirs.quotas.reserved("tokens", period=DAY) == 0


def test_who_works_on_keeps_what_is_reserved_also_where_it_had_lapsed(mine: Scope) -> None:
    claims = [Claim("runs", 1, limit=1)]
    mine.quotas.reserve("mine", claims, seconds=0)
    mine.quotas.renew({"mine": claims})
    with pytest.raises(QuotaExceeded):
        mine.quotas.reserve("another", claims)
    assert mine.quotas.reserved("runs") == 1
    mine.quotas.renew({"mine": claims}, seconds=0)
    mine.quotas.reserve("another", claims)
    mine.quotas.renew({"mine": claims})  # it was away and goes on all the same, so it counts
    assert mine.quotas.reserved("runs") == 2


def test_what_was_used_takes_the_place_of_what_was_reserved(mine: Scope, theirs: Scope) -> None:
    mine.quotas.reserve("h", tokens(90))
    with pytest.raises(QuotaExceeded) as refused:
        mine.quotas.reserve("i", tokens(20))
    assert (refused.value.used, refused.value.limit) == (90, 100)
    assert mine.quotas.settle("h", tokens(10)) == {"tokens": 10}
    mine.quotas.reserve("i", tokens(20))
    assert mine.quotas.settle("i", tokens(200)) == {"tokens": 210}
    assert mine.quotas.reserved("tokens", period=DAY) == 0
    with pytest.raises(QuotaExceeded):
        mine.quotas.reserve("j", tokens(1))
    kept = mine.quotas.get("tokens", period=DAY)
    assert (kept.used, kept.limit) == (210, 100)
    assert theirs.quotas.get("tokens", period=DAY).used == mine.quotas.get("tokens", period="2020-01").used == 0


def test_a_limit_that_was_changed_holds_from_the_next_reservation_on(mine: Scope) -> None:
    mine.quotas.settle("h", tokens(50, None))
    mine.quotas.reserve("i", tokens(10, 60))
    assert mine.quotas.get("tokens", period=DAY).limit == 60
    with pytest.raises(QuotaExceeded):
        mine.quotas.reserve("j", tokens(10, 60))
    mine.quotas.reserve("j", tokens(10, None))
    assert mine.quotas.get("tokens", period=DAY).limit is None
    with pytest.raises(UserError, match="at least 0"):
        tokens(-1)
