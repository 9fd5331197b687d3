"""Requests: where a credential is presented, what its roles allow, and what a browser can be tricked into."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

import httpx

from tests.server.auth.row import BAD, NO_ROLE, NOTHING, ORIGIN, Row
from tests.server.auth.world import RUNS, SETTINGS, STRANGER, Browser, World, all_alike, outcome

CONTENTS, KERNELS = "/api/contents", "/api/kernels"


def in_url(world: World) -> str:
    """A good token in each query a client might put it in."""
    return all_alike(world.api(params={name: world.token()}) for name in ("token", "access_token", "auth_ticket"))


def doubled(world: World) -> str:
    headers = [("Authorization", f"Bearer {world.token()}"), ("Authorization", f"Bearer {world.token()}")]
    with httpx.Client(trust_env=False, verify=False) as client:
        return outcome(client.get(world.server.base + RUNS, headers=headers))


def other_schemes(world: World) -> str:
    token = world.token()
    schemes = (f"token {token}", f"Basic {token}", token, "Bearer")
    return all_alike(world.api(headers={"Authorization": one}) for one in schemes)


def leftovers(world: World) -> str:
    """Ask with a token, then again with nothing but what the first answer left in the browser."""
    browser = Browser()
    browser.take(world.request("GET", RUNS, world.token()))
    return world.api(headers=browser.header)


def server_cookie(world: World) -> str:
    """A login cookie as the server's own provider names it, with anything in it."""
    name = "username-" + world.server.host.replace(".", "-").replace(":", "-")
    value = json.dumps({"username": "ada"})
    return all_alike(world.api(headers={"Cookie": f"{name}={one}"}) for one in (value, "2|1:0|10:1|4:x|4:YQ==|x"))


def published(world: World) -> str:
    """What /api/me tells of somebody with roles."""
    reply = world.request("GET", "/api/me", world.token(roles=["Fleet.Run", "Jupyter.Use"]))
    hidden = any(word in reply.text for word in ("Fleet", "roles", "scopes", "uti", "exp"))
    return f"{reply.status_code}{', told' if hidden else ''}"


def role(world: World, held: list[str] | str, method: str, path: str, **options: object) -> str:
    return world.api(world.token(roles=held), method, path, **options)


def cookie(world: World, method: str = "GET", path: str = RUNS, **headers: str) -> str:
    return world.api(None, method, path, headers={**world.sign_in().header, **headers})


def with_xsrf(world: World, **headers: str) -> str:
    """A change by a browser whose page knows its XSRF token."""
    browser = world.sign_in()
    browser.take(world.request("GET", "/logout", headers={"Sec-Fetch-Site": "cross-site"}))
    browser.cookies["_xsrf"] = "page"
    return world.api(None, "POST", RUNS, headers={**browser.header, "X-XSRFToken": "page", **headers})


def tampered(world: World) -> str:
    browser = world.sign_in()
    return all_alike(
        world.api(headers={"Cookie": f"{name}={value[:-2]}zz"}) for name, value in browser.cookies.items() if value
    )


def after_sign_out(world: World) -> str:
    browser = world.sign_in()
    stolen = dict(browser.cookies)
    world.request("GET", "/logout", headers=browser.header)
    return world.api(headers=Browser(stolen).header)


def over(world: World) -> str:
    """A sign-in whose token ended: the cookie lives no longer."""
    return world.api(headers=world.sign_in(exp=int(time.time()) - 30).header)


def finish(world: World, browser: Browser, back: str) -> str:
    """Status of a browser coming back from Entra, and whether it is signed in then."""
    done = world.request("GET", back, headers=browser.header)
    browser.take(done)
    signed_in = world.api(headers=browser.header) == "200"
    return f"{done.status_code}, {'signed in' if signed_in else 'not signed in'}"


def plain_sign_in(world: World) -> str:
    world.issuer.person = {}
    browser = Browser()
    return finish(world, browser, world.begin_sign_in(browser))


def without_beginning(world: World) -> str:
    """The attacker's answer from Entra, opened in the victim's browser: it would be signed in as the attacker."""
    world.issuer.person = {}
    return finish(world, Browser(), world.begin_sign_in(Browser()))


def swapped_code(world: World) -> str:
    """The attacker's code in the victim's own sign-in."""
    world.issuer.person = {}
    attacker, victim = Browser(), Browser()
    code = world.begin_sign_in(attacker).partition("code=")[2].partition("&")[0]
    own = world.begin_sign_in(victim)
    mine = own.partition("code=")[2].partition("&")[0]
    return finish(world, victim, own.replace(mine, code))


def nearly_ours(world: World) -> str:
    world.issuer.person = {}
    browser = Browser()
    back = world.begin_sign_in(browser)
    return finish(world, browser, back[:-3] + ("AAA" if back[-3:] != "AAA" else "BBB"))


def signed_in_anew(world: World) -> str:
    browser = world.sign_in()
    old = Browser(dict(browser.cookies))
    assert finish(world, browser, world.begin_sign_in(browser)) == "302, signed in"
    return world.api(headers=old.header)


def twice(world: World) -> str:
    world.issuer.person = {}
    browser = Browser()
    back = world.begin_sign_in(browser)
    keeps = Browser(dict(browser.cookies))
    first = finish(world, browser, back)
    return f"{first}; then {finish(world, keeps, back)}"


def two_people(world: World) -> str:
    """Entra's two tokens speak of different people."""
    world.issuer.person, world.issuer.token_changes = {}, {"oid": "00000000-0000-4000-8000-00000000beef"}
    try:
        browser = Browser()
        return finish(world, browser, world.begin_sign_in(browser))
    finally:
        world.issuer.token_changes = {}


def person_refused(world: World, **person: object) -> str:
    world.issuer.person = dict(person)
    browser = Browser()
    return finish(world, browser, world.begin_sign_in(browser))


def entra_refuses(world: World) -> str:
    world.issuer.refuses = "access_denied"
    try:
        browser = Browser()
        return finish(world, browser, world.begin_sign_in(browser))
    finally:
        world.issuer.refuses = None


def led_away(world: World) -> str:
    """Where a browser ends up after a sign-in that was begun with a foreign `next`."""
    world.issuer.person = {}
    base = urlsplit(world.server.base).path
    ends = set()
    for target in ("https://stranger.example/", "//stranger.example", "/\\stranger.example", f"{base}/\\..//x\n"):
        browser = Browser()
        done = world.request("GET", world.begin_sign_in(browser, target), headers=browser.header)
        ends.add(done.headers["location"])
    return "inside" if ends == {f"{base}/"} else f"led to {ends}"


def cookie_flags(world: World) -> str:
    """How the sign-in is kept in the browser."""
    world.issuer.person = {"exp": int(time.time()) + 600}
    browser = Browser()
    back = world.begin_sign_in(browser)
    done = world.request("GET", back, headers=browser.header)
    kept = next(one for one in done.headers.get_list("set-cookie") if "Max-Age" in one)
    flags = {part.strip().partition("=")[0]: part.strip().partition("=")[2] for part in kept.split(";")[1:]}
    strict = kept.startswith("__Host-") and {"HttpOnly", "Secure"} <= flags.keys() and flags["SameSite"] == "Lax"
    lasting = int(flags["Max-Age"]) <= 600 and flags["Path"] == "/" and "Domain" not in flags
    return "strict, as long as the token" if strict and lasting else kept.partition(";")[2]


CREDENTIALS = [
    Row("nothing", NOTHING, lambda w: w.api()),
    Row("token in the URL: `?token=`, `?access_token=`, `?auth_ticket=`", NOTHING, in_url),
    Row("two Authorization headers", BAD, doubled),
    Row("another scheme, or no token after it", BAD, other_schemes),
    Row("no token, but the cookies an answer to one left", NOTHING, leftovers),
    Row("the server's own kind of login cookie", NOTHING, server_cookie),
    Row("wrong bearer with a good cookie", BAD, lambda w: w.api("x.y.z", headers=w.sign_in().header)),
    Row("good bearer from a page of another origin", ORIGIN, lambda w: w.api(w.token(), headers={"Origin": STRANGER})),
    Row("`/api/me` tells no roles and no claims", "200", published),
]

ROLES = [
    Row("Fleet.Read reads runs", "200", lambda w: role(w, ["Fleet.Read"], "GET", RUNS)),
    Row("Fleet.Read starts a run", NO_ROLE, lambda w: role(w, ["Fleet.Read"], "POST", RUNS)),
    Row("Fleet.Run starts a run", "200", lambda w: role(w, ["Fleet.Run"], "POST", RUNS)),
    Row("Fleet.Run changes the server's settings", NO_ROLE, lambda w: role(w, ["Fleet.Run"], "PATCH", SETTINGS)),
    Row("Fleet.Admin changes the server's settings", "200", lambda w: role(w, ["Fleet.Admin"], "PATCH", SETTINGS)),
    Row("no role reads runs", NO_ROLE, lambda w: role(w, [], "GET", RUNS)),
    Row(
        "a role in other letters, or as a text",
        NO_ROLE,
        lambda w: all_alike(
            role(w, held, "GET", RUNS) for held in (["fleet.read"], "Fleet.Admin", ["Fleet"], ["Fleet.*"])
        ),
    ),
    Row(
        "an admin's address, name and groups, but no role",
        NO_ROLE,
        lambda w: w.api(w.token(roles=None, preferred_username="admin@example.com", groups=["Fleet.Admin"])),
    ),
    Row(
        "Fleet.Admin lists files and kernels",
        "403",
        lambda w: all_alike(role(w, ["Fleet.Admin"], "GET", path) for path in (CONTENTS, KERNELS)),
    ),
    Row("Fleet.Admin starts a kernel", "403", lambda w: role(w, ["Fleet.Admin"], "POST", KERNELS)),
    Row(
        "Fleet.Admin reaches another extension that asks for a sign-in only",
        "403",
        lambda w: all_alike(role(w, ["Fleet.Admin"], verb, "/other/page") for verb in ("GET", "POST")),
    ),
    Row("Jupyter.Use reaches it", "200", lambda w: role(w, ["Jupyter.Use"], "GET", "/other/page")),
    Row("Fleet.Admin reads the server's metrics", "403", lambda w: role(w, ["Fleet.Admin"], "GET", "/metrics")),
    Row("Jupyter.Use lists files", "200", lambda w: role(w, ["Jupyter.Use"], "GET", CONTENTS)),
    Row("Jupyter.Use alone reads runs", NO_ROLE, lambda w: role(w, ["Jupyter.Use"], "GET", RUNS)),
]

BROWSERS = [
    Row("a browser signs in", "302, signed in", plain_sign_in),
    Row("how the sign-in is kept", "strict, as long as the token", cookie_flags),
    Row("signed in, reads", "200", cookie),
    Row("signed in, changes without an XSRF token", "403 permission_denied", lambda w: cookie(w, "POST")),
    Row("signed in, changes with it", "200", with_xsrf),
    Row("signed in, changes with it from another origin", ORIGIN, lambda w: with_xsrf(w, Origin=STRANGER)),
    Row("signed in, read by a page of another origin", ORIGIN, lambda w: cookie(w, Origin=STRANGER)),
    Row("a made-up sign-in cookie", BAD, tampered),
    Row("a stolen cookie after signing out", BAD, after_sign_out),
    Row("a sign-in whose token has ended", BAD, over),
    Row("signed out by another site", "403", lambda w: cookie(w, "GET", "/logout", **{"Sec-Fetch-Site": "cross-site"})),
    Row("return of a sign-in this browser did not begin", "401, not signed in", without_beginning),
    Row("the attacker's code in the victim's sign-in", "401, not signed in", swapped_code),
    Row("return with a state that only begins like ours", "401, not signed in", nearly_ours),
    Row("the old cookie of a browser that signed in anew", BAD, signed_in_anew),
    Row("the same return twice", "302, signed in; then 401, not signed in", twice),
    Row("the two tokens name two people", "401, not signed in", two_people),
    Row("a guest signs in", "403, not signed in", lambda w: person_refused(w, acct=1)),
    Row(
        "somebody of a tenant not admitted signs in",
        "403, not signed in",
        lambda w: person_refused(w, tid=w.stranger_tenant, iss=f"{w.issuer.base}/{w.stranger_tenant}/v2.0"),
    ),
    Row("Entra says no", "401, not signed in", entra_refuses),
    Row("led to another site after signing in", "inside", led_away),
]
