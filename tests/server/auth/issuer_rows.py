"""The issuer: keys that change, outages, and callers who make up key ids. Each row has a server of its own."""

from __future__ import annotations

from tests.server.auth import forging
from tests.server.auth.row import BAD, Row
from tests.server.auth.world import World, all_alike, outcome


def rotated(world: World) -> str:
    """A key published after the server fetched the set, used at once; then the old one again."""
    first = world.api(world.token())
    return all_alike((first, world.api(world.token(world.issuer.add_key())), world.api(world.token())))


def storm(world: World) -> str:
    """Fifty tokens with fifty made-up key ids."""
    world.api(world.token())
    before = world.issuer.key_fetches
    told = all_alike(world.api(forging.with_headers(world, kid=f"made-up-{number}")) for number in range(50))
    return f"{told}, {world.issuer.key_fetches - before} fetch"


def outage(world: World) -> str:
    """People who are known stay; a key nobody knows is no way in."""
    world.api(world.token())
    world.issuer.down = True
    inside = all_alike((world.api(world.token()), world.api(world.token())))
    return f"{inside}; then {world.api(world.token(world.issuer.add_key()))}"


def cold_outage(world: World) -> str:
    """The issuer was never reached since the start: nobody's token can be judged."""
    world.issuer.down = True
    down = world.request("GET", "/fleet/api/v1/runs", world.token())
    page = world.request("GET", "/login")
    return f"{outcome(down)}, retry after {down.headers['retry-after']} s; the sign-in page {page.status_code}"


ISSUER = [
    Row("a new key is used the moment it is published", "200", rotated),
    Row("50 tokens with made-up key ids", f"{BAD}, 1 fetch", storm),
    Row("the issuer is out: known keys, then an unknown one", f"200; then {BAD}", outage),
    Row(
        "the issuer is out since the start", "503 auth_unavailable, retry after 5 s; the sign-in page 503", cold_outage
    ),
]
