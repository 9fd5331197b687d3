"""The account of one kernel."""

from __future__ import annotations

import pytest

from fleet_rlm.server.services.lm.grants import LASTS_S, BadToken, Grants, Spent
from fleet_rlm.server.services.owner import Owner

ADA = Owner("acme", "ada")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_new_kernel_may_call_nothing_before_a_run_begins() -> None:
    grants = Grants(None, None)
    grant = grants.find(grants.issue("k", ADA))
    with pytest.raises(Spent):
        grant.reserve()
    grants.allow("k", None)
    grant.reserve()


def test_a_run_may_not_be_given_more_than_the_server_allows() -> None:
    grants = Grants(2, None)
    grant = grants.find(grants.issue("k", ADA))
    grants.allow("k", 100)
    for _ in range(2):
        grant.reserve()
        grant.settle(True, 0)
    with pytest.raises(Spent):
        grant.reserve()


def test_a_call_that_the_provider_did_not_carry_out_costs_nothing() -> None:
    grants = Grants(None, None)
    grant = grants.find(grants.issue("k", ADA))
    grants.allow("k", 1)
    grant.reserve()
    with pytest.raises(Spent):
        grant.reserve()
    grant.settle(False, 0)
    grant.reserve()


def test_tokens_end_it_too() -> None:
    grants = Grants(None, 10)
    grant = grants.find(grants.issue("k", ADA))
    grants.allow("k", None)
    grant.reserve()
    grant.settle(True, 11)
    with pytest.raises(Spent):
        grant.reserve()


def test_prompts_under_way_count_before_they_are_answered() -> None:
    grants = Grants(None, 10)
    grant = grants.find(grants.issue("k", ADA))
    grants.allow("k", None)
    grant.reserve(9)
    grant.reserve(9)
    with pytest.raises(Spent):
        grant.reserve(9)
    grant.settle(False, 0, 9)
    grant.settle(True, 9, 9)
    grant.reserve(9)


def test_a_token_lasts_as_long_as_it_is_used_and_ends_with_its_kernel() -> None:
    clock = Clock()
    grants = Grants(None, None, clock)
    token = grants.issue("k", ADA)
    clock.now = LASTS_S - 1
    grants.find(token)
    clock.now += LASTS_S - 1
    grants.find(token)
    clock.now += LASTS_S
    with pytest.raises(BadToken):
        grants.find(token)
    other = grants.issue("k2", ADA)
    grants.revoke("k2")
    with pytest.raises(BadToken):
        grants.find(other)
