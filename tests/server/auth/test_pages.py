"""The pages of the sign-in where a deployment changes them; all that can go wrong with one is in the attack matrix."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.server.auth.world import Browser, outcome, world

PUBLIC = "https://fleet.example.org/user/ada"


def test_entra_sends_people_back_to_the_public_address(tmp_path: Path) -> None:
    with world(tmp_path, PUBLIC_URL=PUBLIC) as one:
        page = one.request("GET", "/login")
        asked = parse_qs(urlsplit(page.headers["location"]).query)
        assert asked["redirect_uri"] == [f"{PUBLIC}/fleet/oauth/callback"]
        assert asked["scope"] == [f"openid profile api://{one.audience}/access_as_user"]
        assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")


def test_pages_say_what_went_wrong_and_tickets_need_a_path_of_ours(tmp_path: Path) -> None:
    with world(tmp_path) as one:
        browser = Browser()
        one.issuer.person = {"acct": 1}
        back = one.begin_sign_in(browser)
        refused = one.request("GET", back, headers=browser.header)
        assert (refused.status_code, "guests of the organisation" in refused.text) == (403, True)
        for body in ({"path": "/api/kernels/1/channels"}, {"path": 1}, {}, []):
            told = one.request("POST", "/fleet/api/v1/auth/ws-ticket", one.token(), json=body)
            assert outcome(told) == "400"
