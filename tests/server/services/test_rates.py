"""The buckets of users."""

from __future__ import annotations

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.rates import BUCKETS, Rates, TooFast

ADA, BOB = Owner("acme", "ada"), Owner("acme", "bob")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_worth_is_let_through_at_once_and_then_one_by_one() -> None:
    clock = Clock()
    rates = Rates({"write": 6}, clock)
    for _ in range(6):
        rates.take(ADA, "write")
    with pytest.raises(TooFast) as refused:
        rates.take(ADA, "write")
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, "rate_limited", 10)
    clock.now = 10.0
    rates.take(ADA, "write")
    with pytest.raises(TooFast):
        rates.take(ADA, "write")


def test_each_user_and_each_class_has_a_bucket_of_its_own() -> None:
    rates = Rates({"write": 1, "execute": 1}, Clock())
    for owner in (ADA, BOB):
        for kind in ("write", "execute"):
            rates.take(owner, kind)
    for _ in range(1_000):
        rates.take(ADA, "read")
    with pytest.raises(TooFast):
        rates.take(BOB, "execute")


def test_buckets_do_not_grow_without_end() -> None:
    rates = Rates({"read": 1}, Clock())
    for number in range(BUCKETS + 10):
        rates.take(Owner("acme", str(number)), "read")
    assert len(rates._buckets) == BUCKETS


@pytest.mark.parametrize("given", [{"reads": 1}, {"read": 0}, {"read": "many"}, {"lm": True}, {"lm": float("inf")}])
def test_a_rate_that_means_nothing_stops_the_start(given: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"FleetApp\.rates"):
        Rates(given)
