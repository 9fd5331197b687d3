"""What may go wrong between a client and a server, by whose fault it is, in the server's own sentence."""

from __future__ import annotations

from fleet_rlm.core.errors import FleetError, UserError


class ClientError(FleetError):
    """Something that was asked of a server was not done."""


class NotReached(ClientError):
    """The server does not answer, or the connection broke more often than it is worth trying again."""


class Refused(ClientError):
    """The server answered, and did not do it.

    Attributes:
        status: the HTTP status, or the code with which a WebSocket was closed.
        code: the stable name of the reason, such as "not_found".
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BadAddress(UserError, ClientError):
    """The address is none of a server."""


def refused(status: int, body: object) -> Refused:
    """The error of an answer that is none of those wanted."""
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return Refused(status, str(body.get("code", "unknown")), body["message"])
    return Refused(status, "unknown", f"the server answered with {status}; is fleet-rlm enabled there?")
