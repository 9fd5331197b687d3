"""What it costs to believe a token: our verifier beside PyJWT with its own key client, on the same tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import jwt

from fleet_rlm.server.auth.deployment import Entra
from fleet_rlm.server.auth.keys import KeyCache
from fleet_rlm.server.auth.verifier import Verifier
from tests.benchmarks.measure import Figure, Row, at_most, figure
from tests.twins.entra_issuer import EntraIssuer, new_guid

TOKENS = 200  # different ones, so that nothing is remembered

Verify = Callable[[str], Awaitable[object]]


def rows(quick: bool) -> list[Row]:
    """A token whose key is known; every way of verifying it takes its turn in every round."""
    return asyncio.run(_rows(3 if quick else 25))


async def _rows(rounds: int) -> list[Row]:
    with EntraIssuer() as issuer:
        audience, kid = new_guid(), issuer.add_key()
        tokens = [issuer.token(issuer.home, audience, kid) for _ in range(TOKENS)]
        entra = Entra(
            client_id=audience,
            tenants=frozenset({issuer.home}),
            audiences=frozenset({audience}),
            authority=issuer.base,
        )
        verifier = Verifier(entra, KeyCache(entra.metadata_url))
        client = jwt.PyJWKClient(f"{issuer.base}/{issuer.home}/discovery/v2.0/keys")
        own = f"{issuer.base}/{issuer.home}/v2.0"

        def plain(token: str) -> None:
            key = client.get_signing_key_from_jwt(token)
            jwt.decode(token, key.key, ["RS256"], audience=audience, issuer=own)

        async def on_the_loop(token: str) -> None:
            plain(token)

        async def on_a_thread(token: str) -> None:
            await asyncio.to_thread(plain, token)

        ours, direct, threaded = await _in_turns((verifier.access_token, on_the_loop, on_a_thread), tokens, rounds)
    return [
        Row(
            "an Entra access token verified, its key known",
            "s",
            ours,
            bars=[at_most(f"<= PyJWKClient's {direct.value * 1e6:.0f} us", ours.value, direct.value)],
        ),
        Row(
            "the same by PyJWT's PyJWKClient on the loop (blocks it at each fetch; no rules but audience, issuer)",
            "s",
            direct,
        ),
        Row("the same by PyJWT's PyJWKClient on a thread, as a server has to call it", "s", threaded),
    ]


async def _in_turns(ways: tuple[Verify, ...], tokens: list[str], rounds: int) -> list[Figure]:
    """Seconds for one token, by each way."""
    seconds: list[list[float]] = [[] for _ in ways]
    for verify in ways:
        await verify(tokens[0])
    for _ in range(rounds):
        for verify, kept in zip(ways, seconds, strict=True):
            begin = time.perf_counter()
            for token in tokens:
                await verify(token)
            kept.append((time.perf_counter() - begin) / len(tokens))
    return [figure(kept, f"mean over {len(tokens)} different tokens") for kept in seconds]
