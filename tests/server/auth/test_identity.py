"""Whose request it is, against real servers: one's own, with debug identities, and JupyterHub's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fleet_rlm.server.services.owner import Owner
from tests.server.auth.hub_like import TENANT
from tests.server.auth.running import Running, running
from tests.server.auth.world import DRIVE, RUNS, SETTINGS, STRANGER, outcome, socket_outcome

TOKEN = {"Authorization": "token of-the-server"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    arguments = ["--IdentityProvider.token=of-the-server", "--ServerApp.allow_unauthenticated_access=False"]
    with running(tmp_path_factory.mktemp("own"), {"ALLOW_DEBUG_AUTH": "true"}, arguments) as one:
        yield one


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    provider = "--ServerApp.identity_provider_class=tests.server.auth.hub_like.HubLikeProvider"
    with running(
        tmp_path_factory.mktemp("hub"), {"JUPYTERHUB_USER": "ada", "FLEET_HUB_TENANT": "campus"}, [provider]
    ) as one:
        yield one


def ask(server: Running, method: str = "GET", path: str = RUNS, **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False, verify=False) as client:
        return client.request(method, server.base + path, headers=headers)


def debug(**what: str) -> dict[str, str]:
    return {**TOKEN, **{f"X-Fleet-Debug-{name}": value for name, value in what.items()}}


def test_whoever_has_the_token_of_ones_own_server_is_the_one_user_who_may_all(own: Running) -> None:
    assert ask(own, **TOKEN).json() == {"tenant": "local", "user": "local"}
    assert outcome(ask(own, "PATCH", SETTINGS, **TOKEN)) == "200"


def test_without_it_our_routes_answer_401_with_a_challenge_in_every_mode(own: Running, hub: Running) -> None:
    for server in (own, hub):
        refused = ask(server)
        assert (outcome(refused), refused.headers["www-authenticate"]) == ("401 no_credentials", "Bearer")
        assert outcome(ask(server, "POST")) == "401 no_credentials"


def test_a_page_of_another_origin_opens_no_socket_even_with_the_server_s_token(own: Running) -> None:
    target = own.websocket + DRIVE
    assert socket_outcome(target, TOKEN) == "open"
    assert socket_outcome(target, TOKEN, origin=STRANGER) == "403 origin_forbidden"


def test_a_debug_identity_changes_whose_data_is_seen(own: Running) -> None:
    assert ask(own, **debug(Tenant="acme", User="eve")).json() == {"tenant": "acme", "user": "eve"}


def test_a_debug_identity_has_the_roles_it_names(own: Running) -> None:
    reader = debug(Roles="Fleet.Read Everything")
    assert [outcome(ask(own, verb, **reader)) for verb in ("GET", "POST")] == ["200", "403 permission_denied"]
    assert outcome(ask(own, **debug(Roles=""))) == "403 permission_denied"


def test_a_debug_identity_lets_nobody_in(own: Running) -> None:
    assert outcome(ask(own, **{"X-Fleet-Debug-User": "eve"})) == "401 no_credentials"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-Ip", "Forwarded", "Via"])
def test_a_debug_identity_that_came_through_a_proxy_is_not_heard(own: Running, header: str) -> None:
    assert ask(own, **debug(Tenant="acme"), **{header: "127.0.0.1"}).json()["tenant"] == "local"


def test_debug_identities_are_not_heard_under_a_hub(hub: Running) -> None:
    assert ask(hub, **{**debug(Tenant="acme"), "Authorization": "token grace"}).json()["tenant"] == "campus"


@pytest.mark.parametrize(
    ("name", "tenant", "outcomes"),
    [
        ("ada", TENANT, ["200", "200", "200"]),
        ("root", "campus", ["200", "200", "200"]),
        ("grace", "campus", ["200", "403 permission_denied", "403 permission_denied"]),
    ],
)
def test_the_hub_says_who_it_is_and_its_groups_what_they_may(
    hub: Running, name: str, tenant: str, outcomes: list[str]
) -> None:
    told = {"Authorization": f"token {name}", "X-XSRFToken": "x", "Cookie": "_xsrf=x"}
    assert ask(hub, **told).json() == {"tenant": tenant, "user": name}
    assert [outcome(ask(hub, *one, **told)) for one in (("GET",), ("POST",), ("PATCH", SETTINGS))] == outcomes


def test_a_name_that_is_no_id_is_made_one(hub: Running) -> None:
    told = ask(hub, Authorization="token zoe").json()
    assert told == {"tenant": "campus", "user": "Zo%C3%AB%20K+1@campus.example"}
    assert Owner(**told).account().user == told["user"]  # one that a store keeps


def test_users_of_another_provider_are_kept_apart_by_name_and_debug_identities_need_their_switch(
    tmp_path: Path,
) -> None:
    provider = "--ServerApp.identity_provider_class=tests.server.auth.hub_like.NamingProvider"
    with running(tmp_path, {}, [provider]) as server:
        told = [
            ask(server, **{**debug(User="root"), "Authorization": f"token {name}"}).json() for name in ("ada", "eve")
        ]
    assert told == [{"tenant": "local", "user": "ada"}, {"tenant": "local", "user": "eve"}]


def test_somebody_the_hub_lets_in_without_a_role_may_nothing(hub: Running) -> None:
    assert outcome(ask(hub, Authorization="token guest")) == "403 permission_denied"
