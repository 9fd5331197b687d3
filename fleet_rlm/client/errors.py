"""What may go wrong between a client and a server, by what can be done about it, in the server's own sentence."""

from __future__ import annotations

from fleet_rlm.core.errors import FleetError, UserError


class ClientError(FleetError):
    """Something that was asked of a server was not done."""


class NotReached(ClientError):
    """The server does not answer, or the connection broke more often than it is worth trying again."""


class NotTrusted(NotReached):
    """Something answers whose certificate does not prove that it is the server; nothing was sent to it."""


class Refused(ClientError):
    """The server answered, and did not do it.

    Attributes:
        status: the HTTP status, or the code with which a WebSocket was closed.
        code: the stable name of the reason, such as "not_found".
        retry_after: seconds after which asking again is worth it, where the server says so.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class BadRequest(Refused):
    """What was asked is no sensible question: a field is missing, too long, or of another kind (400, 422)."""


class NotSignedIn(Refused):
    """There is no token, or it is wrong or over (401)."""


class Forbidden(Refused):
    """Whoever asks may not do that (403)."""


class NotFound(Refused):
    """There is no such thing, or it is somebody else's (404)."""


class Conflict(Refused):
    """It cannot be done as things are now, such as a question to a session that is still answering (409)."""


class TooLarge(Refused):
    """More was sent than the server takes at once (413)."""


class TooMany(Refused):
    """A quota is used up or requests come too fast; `retry_after` may say when to come back (429)."""


class Unavailable(Refused):
    """The server, or something it needs, fails; asking again later may work (5xx)."""


class BadAddress(UserError, ClientError):
    """The address is none of a server."""


_KINDS: dict[int, type[Refused]] = {
    400: BadRequest,
    401: NotSignedIn,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: BadRequest,
    429: TooMany,
    4400: BadRequest,
    4401: NotSignedIn,
    4404: NotFound,
}


def refused(status: int, body: object, retry_after: str | None = None) -> Refused:
    """The error of an answer that is none of those wanted."""
    code, message = "unknown", f"the server answered with {status}; is fleet-rlm enabled there?"
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        code, message = str(body.get("code", code)), body["message"]
    kind = _KINDS.get(status, Unavailable if 500 <= status < 600 else Refused)
    return kind(status, code, message, float(retry_after) if retry_after and retry_after.isdecimal() else None)
