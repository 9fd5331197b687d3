"""The switches of the verifier, each on and off; what must always be refused is in the attack matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fleet_rlm.server.auth.deployment import Deployment, Entra
from fleet_rlm.server.auth.keys import KeyCache
from fleet_rlm.server.auth.refusals import Refusal
from fleet_rlm.server.auth.verifier import Principal, Verifier
from tests.twins.entra_issuer import MSA_TENANT, EntraIssuer, new_guid

pytestmark = pytest.mark.anyio

AUDIENCE, CALLER = new_guid(), "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def issuer() -> Iterator[EntraIssuer]:
    with EntraIssuer() as one:
        one.add_key()
        one.add_key(MSA_TENANT)
        yield one


async def verified(issuer: EntraIssuer, settings: dict[str, str] | None = None, **changes: Any) -> Principal | str:
    """Who a token speaks for under these settings, or the code of the refusal."""
    given = {
        "AUTH_MODE": "entra",
        "ENTRA_CLIENT_ID": AUDIENCE,
        "ENTRA_TENANTS": issuer.home,
        "ENTRA_AUTHORITY": issuer.base,
        **(settings or {}),
    }
    entra = Deployment.from_environ(given).entra
    assert entra is not None
    kid = list(issuer.keys)[changes.pop("key", 0)]
    token = issuer.token(issuer.home, AUDIENCE, kid, **changes)
    try:
        return await Verifier(entra, KeyCache(entra.metadata_url)).access_token(token)
    except Refusal as refusal:
        return refusal.code


async def test_the_identity_is_tenant_and_object_id(issuer: EntraIssuer) -> None:
    oid = new_guid()
    principal = await verified(issuer, oid=oid, uti="u", scp="access_as_user other", roles=["Fleet.Run", 7])
    assert isinstance(principal, Principal)
    assert (principal.tid, principal.oid, principal.uti, principal.azp) == (issuer.home, oid, "u", CALLER)
    assert (principal.scopes, principal.roles) == ({"access_as_user", "other"}, {"Fleet.Run"})
    assert not principal.app


async def test_apps_need_the_switch_and_a_role_and_to_say_that_they_are(issuer: EntraIssuer) -> None:
    on = {"ENTRA_ALLOW_APPS": "true"}
    app: dict[str, Any] = {"scp": None, "idtyp": "app"}
    principal = await verified(issuer, on, **app)
    assert isinstance(principal, Principal)
    assert principal.app
    assert await verified(issuer, {}, **app) == "app_forbidden"
    assert await verified(issuer, on, **app, roles=None) == "app_forbidden"
    assert await verified(issuer, on, scp=None) == "insufficient_scope"  # an id token has roles and no scope, too


async def test_guests_need_the_switch(issuer: EntraIssuer) -> None:
    guest: dict[str, Any] = {"acct": 1, "idp": "live.com"}
    assert isinstance(await verified(issuer, {"ENTRA_ALLOW_GUESTS": "true"}, **guest), Principal)
    assert await verified(issuer, {"ENTRA_ALLOW_GUESTS": "false"}, **guest) == "guest_forbidden"


async def test_the_scope_is_the_one_configured(issuer: EntraIssuer) -> None:
    assert isinstance(await verified(issuer, {"ENTRA_SCOPE": "fleet"}, scp="fleet"), Principal)
    assert await verified(issuer, {"ENTRA_SCOPE": "fleet"}) == "insufficient_scope"


async def test_audiences_are_the_ones_configured(issuer: EntraIssuer) -> None:
    uri = {"ENTRA_AUDIENCES": f"api://{AUDIENCE}"}
    assert isinstance(await verified(issuer, uri, aud=f"api://{AUDIENCE}"), Principal)
    assert await verified(issuer, uri) == "invalid_token"


async def test_calling_programs_are_the_ones_configured(issuer: EntraIssuer) -> None:
    assert isinstance(await verified(issuer, {"ENTRA_ALLOWED_CLIENTS": CALLER}), Principal)
    assert await verified(issuer, {"ENTRA_ALLOWED_CLIENTS": new_guid()}) == "client_forbidden"
    assert await verified(issuer, {"ENTRA_ALLOWED_CLIENTS": CALLER}, azp=None) == "client_forbidden"


async def test_any_tenant_means_any_that_the_key_may_sign_for(issuer: EntraIssuer) -> None:
    elsewhere = new_guid()
    theirs = {"tid": elsewhere, "iss": f"{issuer.base}/{elsewhere}/v2.0"}
    assert isinstance(await verified(issuer, {"ENTRA_TENANTS": "*"}, **theirs), Principal)
    assert await verified(issuer, {"ENTRA_TENANTS": "*"}, key=1, **theirs) == "invalid_token"


async def test_keys_of_a_single_tenant_come_from_its_own_page(issuer: EntraIssuer) -> None:
    issuer.hits.clear()
    await verified(issuer)
    assert issuer.hits[f"/{issuer.home}/discovery/v2.0/keys"] == 1
    await verified(issuer, {"ENTRA_TENANTS": f"{issuer.home},{new_guid()}"})
    assert issuer.hits["/organizations/discovery/v2.0/keys"] == 1


@pytest.mark.parametrize(
    "changes", [{"exp": 1}, {"aud": "secret-audience"}, {"tid": "secret-tenant"}, {"oid": "secret"}]
)
async def test_refusals_repeat_nothing_of_the_token(issuer: EntraIssuer, changes: dict[str, Any]) -> None:
    entra = Deployment.from_environ(
        {
            "AUTH_MODE": "entra",
            "ENTRA_CLIENT_ID": AUDIENCE,
            "ENTRA_TENANTS": issuer.home,
            "ENTRA_AUTHORITY": issuer.base,
        }
    ).entra
    assert entra is not None
    token = issuer.token(issuer.home, AUDIENCE, next(iter(issuer.keys)), **changes)
    with pytest.raises(Refusal) as refused:
        await Verifier(entra, KeyCache(entra.metadata_url)).access_token(token)
    said = f"{refused.value} {refused.value.challenge()}"
    assert not any(str(value) in said for value in changes.values() if isinstance(value, str))
    assert token[-20:] not in said


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [({"nonce": "n"}, True), ({"nonce": "m"}, False), ({}, False), ({"nonce": "n", "aud": new_guid()}, False)],
)
async def test_an_id_token_counts_for_the_sign_in_with_its_nonce_only(
    issuer: EntraIssuer, changes: dict[str, Any], accepted: bool
) -> None:
    entra = Entra(
        client_id=AUDIENCE, tenants=frozenset({issuer.home}), audiences=frozenset({"other"}), authority=issuer.base
    )
    oid = new_guid()
    token = issuer.token(issuer.home, AUDIENCE, next(iter(issuer.keys)), oid=oid, **changes)
    try:
        found = await Verifier(entra, KeyCache(entra.metadata_url)).id_token(token, "n")
    except Refusal:
        found = None
    assert found == ((issuer.home, oid) if accepted else None)
