"""The provider itself: admission, audit, and what it never gives away; whole requests are in the attack matrix."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jupyter_server.auth import User
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler

from fleet_rlm.server.auth import provider as module
from fleet_rlm.server.auth.authorizer import EntraAuthorizer
from fleet_rlm.server.auth.codeflow import Begun
from fleet_rlm.server.auth.credentials import Credential
from fleet_rlm.server.auth.provider import EntraIdentityProvider
from fleet_rlm.server.auth.refusals import AuthUnavailable, Forbidden, InvalidToken, refusal_of
from fleet_rlm.server.auth.user import EntraUser
from tests.twins.entra_issuer import EntraIssuer, new_guid

pytestmark = pytest.mark.anyio


@pytest.fixture
def issuer() -> Iterator[EntraIssuer]:
    with EntraIssuer() as one:
        one.add_key()
        yield one


@pytest.fixture
def make(issuer: EntraIssuer, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(**variables: str) -> EntraIdentityProvider:
        given = {"ENTRA_CLIENT_ID": new_guid(), "ENTRA_TENANTS": issuer.home, "ENTRA_AUTHORITY": issuer.base}
        for name, value in {**given, **variables}.items():
            monkeypatch.setenv(name, value)
        return EntraIdentityProvider()

    return make


def somebody(tid: str = "t", oid: str = "o") -> EntraUser:
    return EntraUser(
        username=f"{tid}:{oid}", tid=tid, oid=oid, exp=int(time.time()) + 60, roles=frozenset({"Fleet.Run"})
    )


async def admitted(provider: EntraIdentityProvider, user: EntraUser) -> bool:
    try:
        await provider.admit(user)
    except Forbidden as refusal:
        return refusal.code != "tenant_forbidden"
    return True


async def test_without_a_store_the_tenants_of_the_environment_decide(make: Any) -> None:
    assert await admitted(make(), somebody())
    assert not await admitted(make(ENTRA_TENANTS="*"), somebody())


async def test_the_store_decides_where_there_is_one_and_is_asked_once_a_minute(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, asked = make(ENTRA_TENANTS="*"), []

    async def admission(user: EntraUser) -> bool:
        asked.append(user.oid)
        return user.tid == "known"

    provider.admission = admission
    for _ in range(3):
        assert await admitted(provider, somebody("known"))
        assert not await admitted(provider, somebody("unknown", "x"))
    assert asked == ["o", "x"]
    monkeypatch.setattr(module, "ADMITTED_S", 0)
    provider._admitted.clear()
    assert [await admitted(provider, somebody("known")) for _ in range(2)] == [True, True]
    assert asked == ["o", "x", "o", "o"]


async def test_a_store_that_cannot_tell_lets_nobody_in_and_is_asked_again(make: Any) -> None:
    provider = make()
    answers: list[bool | AuthUnavailable] = [AuthUnavailable("the store is out"), True]

    async def admission(user: EntraUser) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, AuthUnavailable):
            raise answer
        return answer

    provider.admission = admission
    with pytest.raises(AuthUnavailable):
        await provider.admit(somebody())
    assert await admitted(provider, somebody())


async def test_a_good_token_of_a_tenant_the_store_does_not_admit_is_nobody_s(make: Any, issuer: EntraIssuer) -> None:
    provider = make()
    token = issuer.token(issuer.home, provider.entra.client_id, next(iter(issuer.keys)), roles=["Jupyter.Use"])

    def asked() -> Any:
        connection: Any = type("Connection", (), {"set_close_callback": lambda self, callback: None})()
        headers = HTTPHeaders({"Authorization": f"Bearer {token}", "Host": "127.0.0.1"})
        request = HTTPServerRequest(
            connection=connection, headers=headers, start_line=RequestStartLine("GET", "/", "HTTP/1.1")
        )
        return RequestHandler(Application(), request)

    assert (await provider.get_user(asked())).tid == issuer.home
    provider._admitted.clear()
    told: list[tuple[str, str]] = []
    provider.audit = lambda what, facts: told.append((what, facts["code"]))

    async def nobody(user: EntraUser) -> bool:
        return False

    provider.admission = nobody
    handler = asked()
    assert await provider.get_user(handler) is None
    assert refusal_of(handler).code == "tenant_forbidden"
    assert told == [("refused", "tenant_forbidden")]


async def test_what_is_remembered_of_admissions_is_bounded(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADMITTED", 10)
    provider = make()
    for number in range(50):
        await provider.admit(somebody(oid=str(number)))
    assert len(provider._admitted) == 10


async def test_a_bearer_is_a_user_with_all_that_authority_needs(make: Any, issuer: EntraIssuer) -> None:
    provider, oid = make(), new_guid()
    token = issuer.token(issuer.home, provider.entra.client_id, next(iter(issuer.keys)), oid=oid, roles=["Fleet.Read"])
    user = await provider.bearer(token)
    assert (user.username, user.display_name, user.roles) == (f"{issuer.home}:{oid}", "Ada Example", {"Fleet.Read"})
    assert user.exp > time.time()


async def test_the_public_model_of_a_user_has_names_only(make: Any) -> None:
    model = make().identity_model(somebody())
    assert model == {
        "username": "t:o",
        "name": "t:o",
        "display_name": "t:o",
        "initials": None,
        "avatar_url": None,
        "color": None,
    }
    assert make().updatable_fields == []


async def test_the_server_s_own_ways_in_are_off(make: Any) -> None:
    provider: Any = make()
    assert (provider.token, provider.need_token, provider.get_token(None)) == ("", False, None)
    assert await provider.get_user_token(None) is None
    assert provider.get_user_cookie(None) is provider.process_login_form(None) is None
    with pytest.raises(Exception, match="403"):
        provider.set_login_cookie(None, User("anybody"))


async def test_an_open_socket_is_over_when_its_sign_in_or_tenant_is(make: Any) -> None:
    provider, user = make(), somebody()
    cookie = Credential("cookie", provider.sign_ins.begin(user))
    assert await provider._still(user, cookie)
    provider.sign_ins.end(cookie.value)
    assert not await provider._still(user, cookie)
    assert await provider._still(user, Credential("header", "x"))

    async def nobody(user: EntraUser) -> bool:
        return False

    provider.admission = nobody
    provider._admitted.clear()
    assert not await provider._still(user, Credential("header", "x"))


async def test_the_core_role_is_the_one_configured(make: Any) -> None:
    authorizer: Any = EntraAuthorizer(identity_provider=make(ENTRA_CORE_ROLE="Lab"))
    held = [EntraUser(username="t:o", roles=frozenset({role})) for role in ("Lab", "Jupyter.Use")]
    assert [authorizer.is_authorized(None, user, "read", "contents") for user in held] == [True, False]


async def test_the_client_secret_is_read_from_its_file_at_each_sign_in(
    make: Any, issuer: EntraIssuer, tmp_path: Any
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    issuer.secret = "second"
    provider = make(ENTRA_CLIENT_SECRET_FILE=str(secret))

    async def sign_in() -> str:
        begun = Begun.new("/")
        address = await provider.flow.address(begun, "http://127.0.0.1/back")
        back = await asyncio.to_thread(httpx.get, address, trust_env=False)
        code = httpx.URL(back.headers["location"]).params["code"]
        return (await provider.flow.finish(begun, code, "http://127.0.0.1/back")).tid

    with pytest.raises(InvalidToken, match="did not accept"):
        await sign_in()
    secret.write_text("second\n")
    assert await sign_in() == issuer.home
    issuer.down = True
    with pytest.raises(AuthUnavailable):
        await provider.flow.finish(Begun.new("/"), "code", "http://127.0.0.1/back")
