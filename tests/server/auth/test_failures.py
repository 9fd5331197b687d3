"""Failed sign-ins: slowed down by address and account, without shutting out who is right."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from fleet_rlm.server.auth.failures import Failures, TooManyFailures
from fleet_rlm.server.services.audit import NOBODY
from fleet_rlm.sessions.store import open_store
from tests.server.serving import TOKEN, Serving

HERE, THERE = "192.0.2.1", "192.0.2.2"
MOST = 4


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures(clock: Clock) -> Failures:
    """Three failures a minute."""
    made = Failures(3, clock=clock)
    made.passed("right")
    return made


def is_let_in(failures: Failures, address: str, secret: str = "a guess") -> bool:
    try:
        failures.check(address, secret)
    except TooManyFailures:
        return False
    return True


def test_guesses_of_one_address_are_not_looked_at_until_a_while_has_passed(failures: Failures, clock: Clock) -> None:
    for number in range(3):
        assert is_let_in(failures, HERE)
        failures.failed(HERE, f"guess {number}")
    with pytest.raises(TooManyFailures, match=r"too many sign-ins have failed from here; try again in 20 s") as refused:
        failures.check(HERE, "another")
    assert (refused.value.status, refused.value.retry_after) == (429, 20)
    assert is_let_in(failures, THERE)
    clock.now += 20
    assert is_let_in(failures, HERE)
    failures.failed(HERE, "one more")
    assert not is_let_in(failures, HERE)
    clock.now += 3_600
    for number in range(3):
        failures.failed(HERE, f"later {number}")
    assert not is_let_in(failures, HERE)


def test_what_was_right_before_stays_right_until_it_fails(failures: Failures) -> None:
    for number in range(3):
        failures.failed(HERE, f"guess {number}")
    assert is_let_in(failures, HERE, "right")
    with pytest.raises(TooManyFailures):
        failures.failed(HERE, "right")
    assert not is_let_in(failures, HERE, "right")


def test_an_account_is_slowed_down_wherever_it_comes_from(failures: Failures) -> None:
    for number in range(3):
        failures.failed(f"192.0.2.{number}", "token", "eve")
    with pytest.raises(TooManyFailures):
        failures.failed("192.0.2.77", "token", "eve")
    failures.failed("192.0.2.78", "token", "ada")


def test_all_addresses_of_one_network_are_one(failures: Failures) -> None:
    for number in range(3):
        failures.failed(f"2001:db8::{number}", "guess")
    assert not is_let_in(failures, "2001:db8::ffff")
    assert is_let_in(failures, "2001:db8:0:1::1")
    for _ in range(3):
        failures.failed("::ffff:192.0.2.9", "guess")
    assert not is_let_in(failures, "192.0.2.9")
    assert is_let_in(failures, "192.0.2.10")


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with a token, from one address of which few sign-ins may fail."""
    settings = {"FleetApp.failed_sign_ins": str(MOST)}
    with Serving(tmp_path_factory.mktemp("careful"), settings, FLEET_LM="fleet/offline") as running:
        yield running


def asked(server: Serving, token: str, path: str = "runs") -> httpx.Response:
    return httpx.get(server.base + path, headers={"Authorization": f"token {token}"}, trust_env=False)


def test_a_servers_token_cannot_be_guessed_by_trying(careful: Serving) -> None:
    assert asked(careful, TOKEN).status_code == 200
    told = [asked(careful, f"guess {number}") for number in range(MOST + 20)]
    statuses = [one.status_code for one in told]
    assert statuses[:MOST] == [401] * MOST
    assert statuses[-1] == 429
    assert told[-1].json()["code"] == "rate_limited"
    assert 1 <= int(told[-1].headers["Retry-After"]) <= 60 / MOST
    assert asked(careful, TOKEN).status_code == 200  # who is known works on
    again = httpx.get(f"{careful.base}runs?token={TOKEN}", trust_env=False)
    assert again.status_code == 429  # a right one that was not shown before waits like a guess
    assert httpx.get(f"{careful.origin}/fleet/health", trust_env=False).status_code == 200
    careful.stop()
    store = open_store(f"sqlite:///{careful.home}/fleet.db")
    trail = store.scoped(NOBODY.account()).audit.list().items
    store.close()
    assert {(one.action, one.outcome, one.detail["code"]) for one in trail} == {("sign_in", "denied", "invalid_token")}
    assert sum(int(one.detail.get("times", 1)) for one in trail) >= MOST
    assert len(trail) <= MOST + 2
    assert not [one for one in trail if "guess" in str(one.detail)]
