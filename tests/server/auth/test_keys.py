"""The key cache: known keys never wait, unknown ones cost little, an outage logs nobody out, withdrawn keys go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fleet_rlm.server.auth.keys import KeyCache
from fleet_rlm.server.auth.refusals import AuthUnavailable, InvalidToken
from tests.twins.entra_issuer import EntraIssuer

pytestmark = pytest.mark.anyio


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[EntraIssuer]:
    with EntraIssuer() as one:
        one.add_key()
        yield one


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(issuer: EntraIssuer, clock: Clock) -> KeyCache:
    return KeyCache(issuer.metadata_url(), clock=clock)


def kid(issuer: EntraIssuer) -> str:
    return next(iter(issuer.keys))


async def found(keys: KeyCache, kid: str) -> str:
    """What asking for a key tells."""
    try:
        await keys.get(kid)
    except (InvalidToken, AuthUnavailable) as refusal:
        return refusal.code
    return "found"


async def test_many_who_ask_at_once_share_one_fetch(issuer: EntraIssuer, keys: KeyCache) -> None:
    with issuer.holding():
        asking = [asyncio.create_task(found(keys, kid(issuer))) for _ in range(50)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*asking) == ["found"] * 50
    assert issuer.key_fetches == 1


async def test_one_who_gives_up_does_not_take_the_fetch_from_the_others(issuer: EntraIssuer, keys: KeyCache) -> None:
    with issuer.holding():
        first, second = (asyncio.create_task(found(keys, kid(issuer))) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
    assert await second == "found"
    assert issuer.key_fetches == 1


async def test_nor_does_one_who_gives_up_waiting_for_an_unknown_key(issuer: EntraIssuer, keys: KeyCache) -> None:
    await keys.get(kid(issuer))
    new = issuer.add_key()
    with issuer.holding():
        first, second = (asyncio.create_task(found(keys, new)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
    assert await second == "found"
    assert issuer.key_fetches == 2


async def test_a_known_key_does_not_wait_for_the_refresh_it_sets_off(
    issuer: EntraIssuer, keys: KeyCache, clock: Clock
) -> None:
    await keys.get(kid(issuer))
    clock.now += keys.refresh_s + 1
    with issuer.holding():
        assert [await found(keys, kid(issuer)) for _ in range(20)] == ["found"] * 20
    await fetched(keys)
    assert issuer.key_fetches == 2


async def test_a_new_key_is_found_at_once_and_a_withdrawn_one_is_gone_with_it(
    issuer: EntraIssuer, keys: KeyCache
) -> None:
    old = kid(issuer)
    await keys.get(old)
    new = issuer.add_key()
    issuer.keys[old].published = False
    assert await found(keys, new) == "found"
    assert await found(keys, old) == "invalid_token"


async def test_unknown_ids_cost_one_fetch_per_interval(issuer: EntraIssuer, keys: KeyCache, clock: Clock) -> None:
    await keys.get(kid(issuer))
    for number in range(50):
        assert await found(keys, f"made-up-{number}") == "invalid_token"
    assert issuer.key_fetches == 2
    clock.now += keys.interval_s + 1
    assert await found(keys, "made-up-again") == "invalid_token"
    assert issuer.key_fetches == 3


async def test_a_client_that_repeats_a_dead_token_leaves_the_fetch_to_others(
    issuer: EntraIssuer, keys: KeyCache, clock: Clock
) -> None:
    await keys.get(kid(issuer))
    await found(keys, "dead")
    clock.now += keys.interval_s + 1
    assert await found(keys, "dead") == "invalid_token"
    assert await found(keys, issuer.add_key()) == "found"


async def test_an_outage_logs_nobody_out_for_a_day(issuer: EntraIssuer, keys: KeyCache, clock: Clock) -> None:
    await keys.get(kid(issuer))
    issuer.down = True
    begin = clock.now
    while clock.now - begin < keys.keep_s - keys.refresh_s:
        clock.now += keys.refresh_s
        assert await found(keys, kid(issuer)) == "found"
        await fetched(keys)
    assert issuer.hits["/organizations/v2.0/.well-known/openid-configuration"] > 20
    clock.now = begin + keys.keep_s
    assert await found(keys, kid(issuer)) == "auth_unavailable"
    issuer.down = False
    clock.now += 1
    assert await found(keys, kid(issuer)) == "found"


async def test_an_unknown_id_during_an_outage_is_not_held_against_it_afterwards(
    issuer: EntraIssuer, keys: KeyCache, clock: Clock
) -> None:
    await keys.get(kid(issuer))
    new = issuer.add_key()
    issuer.down = True
    assert await found(keys, new) == "invalid_token"
    issuer.down = False
    clock.now += keys.interval_s + 1
    assert await found(keys, new) == "found"


async def test_an_issuer_that_never_answered_is_not_asked_more_than_once_a_second(
    issuer: EntraIssuer, keys: KeyCache, clock: Clock
) -> None:
    issuer.down = True
    assert {await found(keys, kid(issuer)) for _ in range(20)} == {"auth_unavailable"}
    assert sum(issuer.hits.values()) == 1
    clock.now += 1
    await found(keys, kid(issuer))
    assert sum(issuer.hits.values()) == 2


async def test_an_issuer_that_does_not_answer_is_given_up(issuer: EntraIssuer, clock: Clock) -> None:
    keys = KeyCache(issuer.metadata_url(), clock=clock, timeout_s=0.05)
    with issuer.holding():
        assert await found(keys, kid(issuer)) == "auth_unavailable"


async def test_a_document_too_large_to_be_honest_is_not_read(issuer: EntraIssuer, keys: KeyCache) -> None:
    issuer.padding = 300_000
    assert await found(keys, kid(issuer)) == "auth_unavailable"


async def test_metadata_that_names_another_host_is_not_followed(issuer: EntraIssuer, clock: Clock) -> None:
    with EntraIssuer() as other:
        other.add_key()
        issuer.base = other.base  # what its documents name
        keys = KeyCache(f"http://127.0.0.1:{issuer._server.server_port}/common/v2.0/.well-known/openid-configuration")
        assert await found(keys, kid(other)) == "auth_unavailable"
        assert not other.hits


async def test_only_strong_keys_that_name_their_issuer_are_taken(issuer: EntraIssuer, keys: KeyCache) -> None:
    short, nameless = issuer.add_key(bits=1024), issuer.add_key(None)
    assert await found(keys, kid(issuer)) == "found"
    assert await found(keys, short) == "invalid_token"
    assert await found(keys, nameless) == "invalid_token"


async def test_a_fetch_under_way_ends_with_the_cache(issuer: EntraIssuer, keys: KeyCache) -> None:
    with issuer.holding():
        asking = asyncio.create_task(found(keys, kid(issuer)))
        await asyncio.sleep(0)
        await keys.close()
        with pytest.raises(asyncio.CancelledError):
            await asking


class Pauses:
    """The waiting of a timer, ended by hand."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self._over: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self._over.get()

    def end(self) -> None:
        """Let the time be over."""
        self._over.put_nowait(None)


async def test_the_timer_fetches_before_anybody_asks_and_keeps_what_it_has_through_an_outage(
    issuer: EntraIssuer, clock: Clock
) -> None:
    others, pauses, shares = asyncio.all_tasks(), Pauses(), iter([0.0, 1.0, 0.5, 0.0])
    keys = KeyCache(issuer.metadata_url(), clock=clock, sleep=pauses, share=lambda: next(shares))
    keys.start()
    keys.start()
    assert await pauses.asked.get() == keys.refresh_s
    assert issuer.key_fetches == 1
    old = kid(issuer)
    new = issuer.add_key()
    clock.now += 3_000
    pauses.end()
    assert await pauses.asked.get() == keys.refresh_s * 0.8
    assert issuer.key_fetches == 2
    assert [await found(keys, one) for one in (new, old)] == ["found", "found"]
    assert issuer.key_fetches == 2  # nobody waited for the new one
    issuer.down = True
    clock.now += 3_000
    pauses.end()
    assert await pauses.asked.get() == keys.interval_s * 0.9
    assert await found(keys, old) == "found"
    issuer.down = False
    issuer.keys[old].published = False
    pauses.end()
    assert await pauses.asked.get() == keys.refresh_s
    assert await found(keys, old) == "invalid_token"
    await keys.close()
    assert asyncio.all_tasks() == others


async def test_the_timer_ends_with_the_cache_also_in_the_middle_of_a_fetch(issuer: EntraIssuer, clock: Clock) -> None:
    others, keys = asyncio.all_tasks(), KeyCache(issuer.metadata_url(), clock=clock)
    with issuer.holding():
        keys.start()
        await asyncio.sleep(0)
        await keys.close()
    assert asyncio.all_tasks() == others


async def fetched(keys: KeyCache) -> None:
    """Wait for the fetch behind."""
    if keys._fetching is not None:
        await asyncio.wait([keys._fetching])
