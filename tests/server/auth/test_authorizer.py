"""The decorator and the authorizer: each verb asks for its own resource, and two have to say yes."""

from __future__ import annotations

from typing import Any

import pytest
from jupyter_server.auth import AllowAllAuthorizer, IdentityProvider, User
from tornado.httputil import HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler

from fleet_rlm.server.auth import EntraAuthorizer, EntraUser, authorized
from fleet_rlm.server.auth.authorizer import permission_of
from fleet_rlm.server.auth.deployment import Deployment
from fleet_rlm.server.auth.permission import Permission
from fleet_rlm.server.auth.refused import RefusedRequest

pytestmark = pytest.mark.anyio


class Asked(AllowAllAuthorizer):
    """Allows all and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[tuple[str, str]] = []

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        self.questions.append((action, resource))
        return True


class Base(RequestHandler):
    authorizer: Any

    @authorized("read", "fleet.runs")
    async def get(self) -> str:
        return "got"


class Settings(Base):
    @authorized("write", "fleet.runtime")
    def patch(self) -> str:
        return "patched"


class Other(Base):
    @authorized("execute", "fleet.lm")
    async def post(self) -> str:
        return "posted"


def handler(kind: type[Base], authorizer: Any, user: User | None) -> Any:
    class Connection:
        def set_close_callback(self, callback: Any) -> None: ...

    request = HTTPServerRequest(
        connection=Connection(),  # type: ignore[arg-type]
        start_line=RequestStartLine("GET", "/", "HTTP/1.0"),
    )
    one = kind(Application(fleet_deployment=Deployment()), request)
    one.authorizer, one.current_user = authorizer, user
    return one


def ada(*roles: str) -> EntraUser:
    return EntraUser(username="t:o", tid="t", oid="o", roles=frozenset(roles))


async def test_each_verb_asks_for_its_own_resource_whoever_was_first() -> None:
    authorizer, admin = Asked(), ada("Fleet.Admin")
    assert await handler(Settings, authorizer, admin).get() == "got"
    assert await handler(Settings, authorizer, admin).patch() == "patched"
    assert await handler(Other, authorizer, admin).get() == "got"
    assert await handler(Other, authorizer, admin).post() == "posted"
    assert authorizer.questions == [
        ("read", "fleet.runs"),
        ("write", "fleet.runtime"),
        ("read", "fleet.runs"),
        ("execute", "fleet.lm"),
    ]


async def test_roles_bind_where_the_server_s_authorizer_allows_all() -> None:
    with pytest.raises(RefusedRequest) as refused:
        await handler(Settings, Asked(), ada("Fleet.Run")).patch()
    assert (refused.value.status_code, refused.value.refusal.code) == (403, "permission_denied")


async def test_the_server_s_authorizer_binds_where_roles_allow() -> None:
    class Never(AllowAllAuthorizer):
        async def is_authorized(self, *_: Any) -> bool:  # type: ignore[override]
            return False

    with pytest.raises(RefusedRequest):
        await handler(Base, Never(), ada("Fleet.Admin")).get()


async def test_nobody_is_let_in_unknown() -> None:
    with pytest.raises(RefusedRequest) as refused:
        await handler(Base, Asked(), None).get()
    assert refused.value.status_code == 401


async def test_an_answer_that_is_merely_truthy_is_no() -> None:
    class Forgetful(AllowAllAuthorizer):
        def is_authorized(self, *_: Any) -> Any:
            return "yes"

    with pytest.raises(RefusedRequest):
        await handler(Base, Forgetful(), ada("Fleet.Admin")).get()


def test_the_mark_is_readable() -> None:
    assert permission_of(Settings.patch) == Permission("write", "fleet.runtime")
    assert getattr(Settings.patch, "__allow_unauthenticated") is False
    assert permission_of(RequestHandler.get) is None


def test_a_mark_nobody_could_satisfy_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match=r"no resource 'fleet\.rums'"):
        authorized("read", "fleet.rums")


@pytest.mark.parametrize(
    ("roles", "resource", "allowed"),
    [
        (["Fleet.Run"], "fleet.runs", True),
        (["Fleet.Admin"], "fleet.unheard_of", False),
        (["Fleet.Admin"], "contents", False),
        (["Jupyter.Use"], "contents", True),
        (["Jupyter.Use"], "terminals", True),
        ([], "api", False),
    ],
)
def test_the_entra_authorizer_denies_what_no_role_opens(roles: list[str], resource: str, allowed: bool) -> None:
    authorizer: Any = EntraAuthorizer(identity_provider=IdentityProvider())
    answer = authorizer.is_authorized(None, ada(*roles), "execute", resource)
    assert answer is allowed


def test_the_entra_authorizer_knows_only_users_of_entra() -> None:
    someone = User("someone")
    someone.roles = {"Fleet.Admin", "Jupyter.Use"}  # type: ignore[attr-defined]
    authorizer: Any = EntraAuthorizer(identity_provider=IdentityProvider())
    answer = authorizer.is_authorized(None, someone, "read", "fleet.runs")
    assert answer is False
