"""The issuer is what real clients take for Entra: PyJWT's own client verifies its tokens, and its sign-in is strict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from tests.twins.entra_issuer import MSA_TENANT, EntraIssuer, base64url, new_guid


@pytest.fixture
def issuer() -> Iterator[EntraIssuer]:
    with EntraIssuer() as one:
        one.add_key()
        yield one


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False)


def test_pyjwt_s_client_verifies_its_tokens(issuer: EntraIssuer) -> None:
    audience, kid = new_guid(), next(iter(issuer.keys))
    token = issuer.token(issuer.home, audience, kid, acct=None, roles=["Fleet.Read"])
    keys = jwt.PyJWKClient(get(issuer.metadata_url()).json()["jwks_uri"])
    claims = jwt.decode(token, keys.get_signing_key_from_jwt(token).key, ["RS256"], audience=audience)
    assert (claims["iss"], claims["roles"]) == (f"{issuer.base}/{issuer.home}/v2.0", ["Fleet.Read"])
    assert "acct" not in claims


def test_metadata_is_a_template_for_all_organisations_and_concrete_for_one(issuer: EntraIssuer) -> None:
    assert get(issuer.metadata_url()).json()["issuer"] == f"{issuer.base}/{{tenantid}}/v2.0"
    assert get(issuer.metadata_url(issuer.home)).json()["issuer"] == f"{issuer.base}/{issuer.home}/v2.0"


def test_keys_say_whom_they_sign_for_and_hidden_ones_are_not_listed(issuer: EntraIssuer) -> None:
    consumers, nameless, hidden = issuer.add_key(MSA_TENANT), issuer.add_key(None), issuer.add_key(published=False)
    listed = {key["kid"]: key for key in get(f"{issuer.base}/common/discovery/v2.0/keys").json()["keys"]}
    assert listed[consumers]["issuer"] == f"{issuer.base}/{MSA_TENANT}/v2.0"
    assert "issuer" not in listed[nameless]
    assert hidden not in listed
    assert issuer.key_fetches == 1


def test_an_outage_is_503_for_everything(issuer: EntraIssuer) -> None:
    issuer.down = True
    assert {get(issuer.metadata_url()).status_code, get(f"{issuer.base}/common/discovery/v2.0/keys").status_code} == {
        503
    }


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"code_verifier": "another"}, 400),
        ({"redirect_uri": "http://127.0.0.1/elsewhere"}, 400),
        ({"code": "made-up"}, 400),
        ({"client_secret": "wrong"}, 401),
    ],
)
def test_a_code_is_redeemed_once_and_only_by_who_asked_for_it(
    issuer: EntraIssuer, changes: dict[str, str], status: int
) -> None:
    issuer.secret = "right"
    client, verifier, back = new_guid(), "v" * 50, "http://127.0.0.1/back"
    asked = {
        "client_id": client,
        "redirect_uri": back,
        "state": "s",
        "nonce": "n",
        "code_challenge": base64url(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }
    documents: dict[str, Any] = get(issuer.metadata_url()).json()
    sent = httpx.get(documents["authorization_endpoint"], params=asked, trust_env=False)
    answer = parse_qs(urlsplit(sent.headers["location"]).query)
    form = {"code": answer["code"][0], "redirect_uri": back, "code_verifier": verifier, "client_secret": "right"}
    replies = [httpx.post(documents["token_endpoint"], data={**form, **changes}, trust_env=False) for _ in range(2)]
    assert answer["state"] == ["s"]
    assert [reply.status_code for reply in replies] == [status, 400]
    if status == 200:
        claims = [
            jwt.decode(replies[0].json()[name], options={"verify_signature": False})
            for name in ("access_token", "id_token")
        ]
        assert [(one.get("scp"), one.get("nonce")) for one in claims] == [("access_as_user", None), (None, "n")]
        assert claims[0]["oid"] == claims[1]["oid"]
