"""Where a page with a sign-in fetches its WebSocket ticket: good for one of our sockets, once, for half a minute.

A page cannot set headers on a WebSocket, and a token must not be in a URL. Only a page behind Entra needs one, so the
route comes with that sign-in; elsewhere it is no address.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from jupyter_server.utils import url_path_join
from pydantic import BaseModel, ConfigDict, Field

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.auth.credentials import TICKET
from fleet_rlm.server.auth.permission import SELF
from fleet_rlm.server.auth.provider import EntraIdentityProvider
from fleet_rlm.server.auth.signins import TICKET_S
from fleet_rlm.server.auth.user import EntraUser
from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.errors import Refused

SOCKETS = ("fleet/api/v1/ws/execution", "fleet/api/v1/ws/execution/events")
"""What a ticket opens, below the base URL; it is no way to read anything else."""


class AskTicket(BaseModel):
    """Which WebSocket is going to be opened: its path, base URL included, without a query."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, Field(max_length=2_000)]


class Ticket(BaseModel):
    """A ticket, the query argument to put it in, and the seconds for which it is good."""

    ticket: str
    parameter: str
    expires_in: int


class TicketRoute(Handler):
    """Tickets for WebSockets of pages that have a bearer token or a sign-in."""

    @authorized("execute", SELF)
    async def post(self) -> None:
        """A ticket that opens one of our WebSockets once."""
        path = self.read(AskTicket).path
        opened = [url_path_join(self.base_url, socket) for socket in SOCKETS]
        if path not in opened:
            raise Refused(f"a ticket opens a WebSocket of ours: give its path, {' or '.join(opened)}")
        provider, user = cast(EntraIdentityProvider, self.identity_provider), self.current_user
        assert isinstance(user, EntraUser)  # the authorizer allows nobody else
        self.set_header("Cache-Control", "no-store")
        self.answer(Ticket(ticket=provider.tickets.issue(user, path), parameter=TICKET, expires_in=TICKET_S))


ROUTES: list[tuple[str, type[Any]]] = [("/fleet/api/v1/auth/ws-ticket", TicketRoute)]
