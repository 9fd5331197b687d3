"""A refusal as tornado raises it."""

from __future__ import annotations

from tornado.web import HTTPError

from fleet_rlm.server.auth.refusals import Refusal


class RefusedRequest(HTTPError):
    """Ends a request with a refusal. `FleetHandler` and `FleetSocket` answer it with its code and its challenge."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, str(refusal))
        self.refusal = refusal
