"""The ledger: never over-admitted, always settled, and every loop can finish."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fleet_rlm.core.budget import SOFT, Budget, Ledger, Purpose
from fleet_rlm.core.errors import BudgetExhausted, QuotaExhausted, UserError
from fleet_rlm.core.events import Limits, Usage
from fleet_rlm.core.journal import Journal
from fleet_rlm.core.log import RunLog


def used(tokens_in: int = 100, tokens_out: int = 10, cost_usd: float | None = 0.01) -> Usage:
    return Usage(llm_calls=1, tokens_in=tokens_in, tokens_out=tokens_out, tokens_cached=0, cost_usd=cost_usd)


PURPOSES: tuple[Purpose, ...] = ("step", "query", "finish")

FAILED = Usage(llm_calls=1)
"""What a call used that failed or was cancelled: nobody knows."""


class Clock:
    """Seconds, moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def refusal(ledger: Ledger, purpose: Purpose = "query", calls: int = 1) -> BudgetExhausted:
    with pytest.raises(BudgetExhausted) as refused:
        ledger.admit(purpose, calls)
    return refused.value


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"calls": 0}, "calls must be a whole number of at least 1, not 0"),
        ({"calls": True}, "calls must be a whole number"),
        ({"calls": 2.5}, "calls must be a whole number"),
        ({"tokens": -1}, "tokens must be a whole number of at least 1"),
        ({"depth": -1}, "depth must be a whole number of at least 0"),
        ({"children": "many"}, "children must be a whole number of at least 0"),
        ({"usd": 0}, "usd must be a number above 0, not 0"),
        ({"usd": float("nan")}, "usd must be a number above 0"),
        ({"seconds": -3}, "seconds must be a number above 0"),
        ({"seconds": "60"}, "seconds must be a number above 0, not '60'"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(limits: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Budget(**limits)


def test_limits_are_written_as_they_were_given() -> None:
    assert Budget(calls=7, usd=0.5).limits() == Limits(calls=7, usd=0.5, depth=2, children=64)


def test_what_is_admitted_and_settled_is_spent_and_no_longer_remains() -> None:
    ledger = Ledger(Budget(calls=10, tokens=1000, usd=1.0))
    ledger.admit("step")
    assert (ledger.spent().calls, ledger.remaining().calls) == (0, 9)
    ledger.settle(used())
    spent, left = ledger.spent(), ledger.remaining()
    assert (spent.calls, spent.tokens, spent.usd) == (1, 110, 0.01)
    assert (left.calls, left.tokens, left.usd) == (9, 890, 0.99)


def test_a_call_that_was_never_made_gives_its_place_back() -> None:
    ledger = Ledger(Budget(calls=1))
    ledger.admit("step")
    ledger.settle(None)
    assert ledger.spent().calls == 0
    ledger.admit("step")


def test_several_calls_are_admitted_all_or_none() -> None:
    ledger = Ledger(Budget(calls=5))
    ledger.admit("query", 3)
    told = refusal(ledger, "query", 3)
    assert told.limit == "calls"
    assert "2 of 5 model calls are left, 3 were asked for" in str(told)
    ledger.admit("query", 2)


def test_a_refusal_tells_the_model_to_finish() -> None:
    ledger = Ledger(Budget(calls=1))
    assert ledger.nearly_spent() is None
    ledger.admit("step")
    told = str(refusal(ledger))
    assert "0 of 1 model calls are left" in told
    assert "finish" in told
    assert ledger.nearly_spent() == told


@pytest.mark.parametrize(
    ("budget", "limit"), [(Budget(tokens=200), "tokens"), (Budget(usd=0.02), "usd"), (Budget(calls=2), "calls")]
)
def test_each_limit_ends_steps_and_queries(budget: Budget, limit: str) -> None:
    ledger = Ledger(budget)
    for _ in range(2):
        ledger.admit("step")
        ledger.settle(used())
    assert refusal(ledger, "step").limit == limit
    assert refusal(ledger, "query").limit == limit


def test_tokens_and_dollars_do_not_forbid_to_finish() -> None:
    ledger = Ledger(Budget(tokens=10, usd=0.001))
    ledger.admit("step")
    ledger.settle(used())
    ledger.admit("finish")


def test_time_asks_to_finish_before_it_is_up() -> None:
    clock = Clock()
    ledger = Ledger(Budget(seconds=100), clock=clock)
    clock.now += 100 * SOFT - 0.1
    ledger.admit("step")
    clock.now += 0.2
    assert refusal(ledger).limit == "seconds"
    ledger.admit("finish")
    assert ledger.seconds_left == pytest.approx(100 - 100 * SOFT - 0.1)
    assert Ledger(Budget()).seconds_left is None


def test_a_loop_keeps_its_last_call_for_the_finish() -> None:
    ledger = Ledger(Budget(calls=2))
    with ledger.hold():
        ledger.admit("step")
        ledger.settle(used())
        refusal(ledger, "step")
        refusal(ledger, "query")
        ledger.admit("finish")
        ledger.settle(used())
    assert ledger.remaining().calls == 0


def test_what_a_loop_held_and_did_not_need_is_free_again() -> None:
    ledger = Ledger(Budget(calls=1))
    with ledger.hold():
        refusal(ledger)
    ledger.admit("query")


def test_a_ledger_that_is_closed_refuses_even_the_finish_that_a_loop_held() -> None:
    ledger = Ledger(Budget(calls=10))
    with ledger.hold():
        ledger.admit("step")
        ledger.close("you may use 5 tokens a day")
        ledger.settle(used())  # what was under way is booked
        for purpose in PURPOSES:
            with pytest.raises(QuotaExhausted, match=r"^budget: you may use 5 tokens a day$"):
                ledger.admit(purpose)
        assert ledger.nearly_spent() == "budget: you may use 5 tokens a day"
    assert ledger.spent().calls == 1


def test_a_loop_that_could_not_finish_does_not_begin() -> None:
    ledger = Ledger(Budget(calls=2))
    with ledger.hold(), ledger.hold():
        with pytest.raises(BudgetExhausted), ledger.hold():
            pass
        assert ledger.remaining().calls == 2


def test_finishing_twice_does_not_take_what_another_loop_holds() -> None:
    ledger = Ledger(Budget(calls=2))
    with ledger.hold():
        with ledger.hold():
            ledger.admit("finish")
            ledger.settle(used())
            refusal(ledger, "finish")
        ledger.admit("finish")


@contextmanager
def held_elsewhere(ledger: Ledger) -> Iterator[contextvars.Context]:
    """A hold that is entered and left in a context of its own, as a task does."""
    context, hold = contextvars.copy_context(), ledger.hold()
    context.run(hold.__enter__)
    try:
        yield context
    finally:
        context.run(hold.__exit__, None, None, None)


@pytest.mark.parametrize("first_to_leave", [0, 1])
def test_loops_side_by_side_do_not_lose_each_others_hold(first_to_leave: int) -> None:
    ledger = Ledger(Budget(calls=2))
    holds = [held_elsewhere(ledger), held_elsewhere(ledger)]
    contexts = [hold.__enter__() for hold in holds]
    contexts[first_to_leave].run(ledger.admit, "finish")
    ledger.settle(used())
    holds[first_to_leave].__exit__(None, None, None)
    refusal(ledger, "query")
    contexts[1 - first_to_leave].run(ledger.admit, "finish")


@pytest.mark.parametrize(("budget", "limit"), [(Budget(tokens=200), "tokens"), (Budget(usd=0.02), "usd")])
def test_a_failed_call_does_not_lift_the_limits(budget: Budget, limit: str) -> None:
    ledger = Ledger(budget)
    for usage in (used(), FAILED, used()):
        ledger.admit("step")
        ledger.settle(usage)
    assert refusal(ledger, "step").limit == limit


def test_after_a_failed_call_the_sums_are_unknown_not_too_small() -> None:
    ledger = Ledger(Budget(tokens=1000, usd=1.0))
    for usage in (used(), FAILED):
        ledger.admit("step")
        ledger.settle(usage)
    assert (ledger.spent().calls, ledger.spent().tokens, ledger.spent().usd) == (2, None, None)
    assert (ledger.remaining().tokens, ledger.remaining().usd) == (None, None)


def test_nothing_spent_is_nothing_and_no_price() -> None:
    spent = Ledger(Budget()).spent()
    assert (spent.calls, spent.tokens, spent.children) == (0, 0, 0)
    assert spent.usd is None


def test_a_dollar_limit_needs_a_known_price() -> None:
    ledger = Ledger(Budget(usd=1.0))
    ledger.admit("step")
    with pytest.raises(UserError, match="price of this model is not known"):
        ledger.settle(used(cost_usd=None))
    assert ledger.spent().calls == 1


def test_children_are_counted_over_the_whole_tree() -> None:
    ledger = Ledger(Budget(children=2, depth=3))
    ledger.admit_child(1)
    ledger.admit_child(2)
    with pytest.raises(BudgetExhausted, match="all 2 sub-RLMs of this run are used") as refused:
        ledger.admit_child(1)
    assert refused.value.limit == "children"
    assert (ledger.spent().children, ledger.remaining().children) == (2, 0)


def test_depth_is_a_limit_of_its_own() -> None:
    ledger = Ledger(Budget(depth=2))
    ledger.admit_child(2)
    with pytest.raises(BudgetExhausted, match="use llm_query here") as refused:
        ledger.admit_child(3)
    assert refused.value.limit == "depth"


def test_every_booking_is_told() -> None:
    told: list[tuple[Limits, Limits]] = []
    ledger = Ledger(Budget(calls=3), lambda spent, left: told.append((spent, left)))
    ledger.admit("step")
    assert told == []
    ledger.settle(used())
    ledger.admit_child(1)
    assert [(spent.calls, spent.children, left.calls) for spent, left in told] == [(1, 0, 2), (1, 1, 2)]


def test_what_a_log_holds_is_spent_before_anything_is_admitted_and_a_loop_that_goes_on_keeps_its_call() -> None:
    told: list[Limits] = []
    ledger = Ledger(Budget(calls=4, children=3), lambda spent, left: told.append(left))
    ledger.book(used() + used() + used(), children=2)
    assert [(left.calls, left.children) for left in told] == [(1, 1)]
    log = RunLog("r1")
    ledger.book(used(), children=0)
    with log.span("turn", "new"), pytest.raises(BudgetExhausted), ledger.hold():
        pass
    record = Journal(log.events_since(0)).take(None, "turn", "new")
    with log.span("turn", "new", record=record), ledger.hold(), pytest.raises(BudgetExhausted):
        ledger.admit("finish")


CALLERS = 64


@settings(max_examples=15, deadline=None)
@given(
    limit=some.integers(1, 150),
    plans=some.lists(
        some.lists(some.tuples(some.integers(1, 3), some.sampled_from(["made", "failed", "never"])), max_size=4),
        min_size=CALLERS,
        max_size=CALLERS,
    ),
)
def test_64_concurrent_callers_are_never_over_admitted_and_always_settled(limit: int, plans: list[Any]) -> None:
    ledger = Ledger(Budget(calls=limit))
    flying, most = 0, 0
    count, together = threading.Lock(), threading.Barrier(CALLERS)
    outcomes = {"made": used(), "failed": FAILED, "never": None}

    def call(plan: list[tuple[int, str]]) -> int:
        nonlocal flying, most
        made = 0
        together.wait(30)
        for calls, outcome in plan:
            try:
                ledger.admit("query", calls)
            except BudgetExhausted:
                continue
            with count:
                flying += calls
                most = max(most, flying + (ledger.spent().calls or 0))
            for _ in range(calls):
                with count:
                    flying -= 1
                    ledger.settle(outcomes[outcome])
                made += outcome != "never"
        return made

    with ThreadPoolExecutor(CALLERS) as pool:
        made = sum(pool.map(call, plans))
    assert most <= limit
    assert ledger.spent().calls == made <= limit
    assert ledger.remaining().calls == limit - made
