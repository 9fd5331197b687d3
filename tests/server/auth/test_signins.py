"""Sign-ins and tickets: how long they are good, how often, for whom, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fleet_rlm.server.auth import signins
from fleet_rlm.server.auth.signins import TICKET_S, TICKETS_PER_USER, SignIns, Tickets

PATH = "/fleet/api/v1/ws/execution"


@dataclass
class Person:
    username: str = "ada"
    exp: int = 5_000


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_sign_in_ends_with_its_token() -> None:
    clock = Clock()
    sign_ins: SignIns[Person] = SignIns(clock)
    ada = Person()
    kept = sign_ins.begin(ada)
    clock.now = ada.exp - 1
    assert sign_ins.user(kept) is ada
    clock.now = ada.exp
    assert sign_ins.user(kept) is None


def test_a_sign_in_ends_when_the_user_signs_out() -> None:
    sign_ins: SignIns[Person] = SignIns(Clock())
    first, second = sign_ins.begin(Person()), sign_ins.begin(Person())
    sign_ins.end(first)
    assert (sign_ins.user(first), sign_ins.user(second)) == (None, Person())


def test_the_memory_of_sign_ins_is_bounded_and_ended_ones_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signins, "SIGN_INS", 3)
    clock = Clock()
    sign_ins: SignIns[Person] = SignIns(clock)
    oldest = sign_ins.begin(Person())
    short = sign_ins.begin(Person(exp=1_010))
    third = sign_ins.begin(Person())
    clock.now = 1_011
    sign_ins.begin(Person())
    assert sign_ins.user(oldest) is not None
    sign_ins.begin(Person())
    assert (sign_ins.user(oldest), sign_ins.user(short)) == (None, None)
    assert sign_ins.user(third) is not None


def test_a_ticket_is_good_once_for_its_path_and_half_a_minute() -> None:
    clock = Clock()
    tickets: Tickets[Person] = Tickets(clock)
    ada = Person()
    value = tickets.issue(ada, PATH)
    clock.now += TICKET_S - 1
    assert [tickets.redeem(value, PATH) for _ in range(2)] == [ada, None]
    late = tickets.issue(ada, PATH)
    clock.now += TICKET_S
    assert tickets.redeem(late, PATH) is None


def test_a_ticket_used_on_another_path_is_used_up() -> None:
    tickets: Tickets[Person] = Tickets(Clock())
    value = tickets.issue(Person(), PATH)
    assert [tickets.redeem(value, path) for path in (PATH + "/events", PATH)] == [None, None]


def test_a_ticket_does_not_outlive_its_token() -> None:
    clock = Clock()
    tickets: Tickets[Person] = Tickets(clock)
    value = tickets.issue(Person(exp=1_005), PATH)
    clock.now = 1_005
    assert tickets.redeem(value, PATH) is None


def test_one_user_cannot_crowd_out_another() -> None:
    tickets: Tickets[Person] = Tickets(Clock())
    grace = Person("grace")
    kept = tickets.issue(grace, PATH)
    first, *others = [tickets.issue(Person(), PATH) for _ in range(TICKETS_PER_USER + 1)]
    assert tickets.redeem(first, PATH) is None
    assert all(tickets.redeem(one, PATH) for one in others)
    assert tickets.redeem(kept, PATH) is grace


def test_all_tickets_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signins, "TICKETS", 3)
    tickets: Tickets[Person] = Tickets(Clock())
    first, *others = [tickets.issue(Person(f"user {number}"), PATH) for number in range(4)]
    assert tickets.redeem(first, PATH) is None
    assert all(tickets.redeem(one, PATH) for one in others)


def test_what_is_handed_out_is_not_what_is_kept() -> None:
    sign_ins: SignIns[Person] = SignIns(Clock())
    tickets: Tickets[Person] = Tickets(Clock())
    handed = (sign_ins.begin(Person()), tickets.issue(Person(), PATH))
    kept = repr(vars(sign_ins)) + repr(vars(tickets))
    assert all(len(one) == 43 and one not in kept for one in handed)
