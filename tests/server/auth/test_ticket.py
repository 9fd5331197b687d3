"""A ticket opens our WebSockets and nothing else; what else is tried with one is in the attack matrix."""

from __future__ import annotations

from fleet_rlm.server.auth.guard import FleetSocket
from fleet_rlm.server.auth.ticket import SOCKETS
from fleet_rlm.server.routes import ROUTES


def test_a_ticket_opens_every_websocket_of_ours() -> None:
    assert [f"/{path}" for path in SOCKETS] == [path for path, handler in ROUTES if issubclass(handler, FleetSocket)]
