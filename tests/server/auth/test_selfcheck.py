"""The start-up check finds every verb that would let somebody in unasked."""

from __future__ import annotations

from typing import Any

import pytest
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.decorator import authorized as servers_own
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.routing import PathMatches, Rule
from tornado.web import url

from fleet_rlm.server.auth import FleetHandler, FleetSocket, authorized, check_routes
from fleet_rlm.server.auth.permission import Permission
from fleet_rlm.server.auth.selfcheck import UnguardedRoutes


class Good(FleetHandler):
    @authorized("read", "fleet.runs")
    def get(self) -> None: ...

    @authorized("execute", "fleet.runs")
    async def post(self) -> None: ...


class Forgot(Good):
    def delete(self) -> None: ...


class OnlySignedIn(FleetHandler):
    @web.authenticated
    def get(self) -> None: ...


class ServersDecorator(FleetHandler):
    @web.authenticated
    @servers_own(action="read", resource="fleet.runs")
    def get(self) -> None: ...


class Overridden(Good):
    def get(self) -> None: ...


class NotOurs(APIHandler):
    @authorized("read", "fleet.runs")
    def get(self) -> None: ...


class Open(FleetHandler):
    @allow_unauthenticated
    def get(self) -> None: ...


class Socket(FleetSocket):
    @authorized("execute", "fleet.runs")
    async def get(self, *args: Any, **kwargs: Any) -> None: ...


class OpenSocket(FleetSocket):
    def open(self) -> None: ...  # type: ignore[override]


def test_it_tells_what_each_verb_asks_for() -> None:
    found = check_routes([("/a", Good, {"key": 1}), ("/ws", Socket), ("/health", Open)], public={"/health"})
    assert found == {
        ("/a", "GET"): Permission("read", "fleet.runs"),
        ("/a", "POST"): Permission("execute", "fleet.runs"),
        ("/ws", "GET"): Permission("execute", "fleet.runs"),
        ("/health", "GET"): None,
    }


@pytest.mark.parametrize("route", [("/b", Forgot), url("/b", Forgot), Rule(PathMatches("/b"), Forgot)])
def test_a_forgotten_verb_is_found_however_the_route_is_written(route: Any) -> None:
    with pytest.raises(UnguardedRoutes, match=r"/b\$?: Forgot\.delete lacks authorized"):
        check_routes([("/a", Good), route])


@pytest.mark.parametrize("handler", [OnlySignedIn, ServersDecorator, Overridden, NotOurs, Open, OpenSocket])
def test_what_is_not_both_authenticated_and_authorized_by_name_is_refused(handler: type) -> None:
    with pytest.raises(UnguardedRoutes, match=handler.__name__):
        check_routes([("/a", handler)])


def test_a_public_pattern_does_not_open_a_verb_that_is_not_marked() -> None:
    with pytest.raises(UnguardedRoutes, match=r"Forgot\.delete"):
        check_routes([("/health", Forgot)], public={"/health"})


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UnguardedRoutes) as told:
        check_routes([("/a", Forgot), ("/b", OpenSocket)])
    assert str(told.value).count("lacks authorized") == 2
