"""The pages of the sign-in where a deployment changes them; all that can go wrong with one is in the attack matrix."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.server.auth.world import world

PUBLIC = "https://fleet.example.org/user/ada"


def test_entra_sends_people_back_to_the_public_address(tmp_path: Path) -> None:
    with world(tmp_path, PUBLIC_URL=PUBLIC) as one:
        page = one.request("GET", "/login")
        asked = parse_qs(urlsplit(page.headers["location"]).query)
        assert asked["redirect_uri"] == [f"{PUBLIC}/fleet/oauth/callback"]
        assert asked["scope"] == [f"openid profile api://{one.audience}/access_as_user"]
        long = one.request("GET", "/login", params={"next": "/user/ada/lab/tree/" + "x" * 4_000})
        assert max(map(len, long.headers.get_list("set-cookie"))) < 4_096
        assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
