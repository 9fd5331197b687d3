"""Why a request is refused: a stable code, a status, and a sentence that never repeats what was sent.

All texts are literals of this package, so neither a reply nor a log can carry a piece of somebody's token.
"""

from __future__ import annotations

from fleet_rlm.core.errors import FleetError


class Refusal(FleetError):
    """A request that is not let in.

    Attributes:
        status: the HTTP status that says so.
        code: the stable name of the reason, for programs.
        account: whom it was about, where that is proven; it is told to nobody.
    """

    status: int = 403
    account: str | None = None

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def challenge(self) -> str | None:
        """The value of WWW-Authenticate (RFC 6750); None where asking for other credentials would not help."""
        return None


class InvalidToken(Refusal):
    """What was presented does not prove who is asking: another token is needed."""

    status = 401

    def __init__(self, message: str) -> None:
        super().__init__("invalid_token", message)

    def challenge(self) -> str | None:
        return f'Bearer error="invalid_token", error_description="{self}"'


class NoCredentials(Refusal):
    """Nothing was presented that could prove who is asking."""

    status = 401

    def __init__(self) -> None:
        super().__init__("no_credentials", "sign in, or send an access token in the Authorization header")

    def challenge(self) -> str | None:
        return "Bearer"


class InsufficientScope(Refusal):
    """The token is genuine but was not issued for calling this API on a user's behalf."""

    def __init__(self, scope: str, message: str) -> None:
        super().__init__("insufficient_scope", message)
        self.scope = scope

    def challenge(self) -> str | None:
        return f'Bearer error="insufficient_scope", scope="{self.scope}"'


class Forbidden(Refusal):
    """It is known who is asking, and they may not."""


class TooLarge(Refusal):
    """The body is larger than the verb takes; how much that is comes with it."""

    status = 413

    def __init__(self, most: int, announced: int | None = None) -> None:
        size = "more" if announced is None else f"{announced:,} bytes"
        super().__init__("too_large", f"a body may have {most:,} bytes here ({spelled(most)}), and this one has {size}")


class UnsupportedBody(Refusal):
    """The body is packed in a way that is not read here."""

    status = 415

    def __init__(self, message: str) -> None:
        super().__init__("unsupported_body", message)


class NoWebSocket(Refusal):
    """The address is one of a WebSocket, and was asked for as if it were a page."""

    status = 426

    def __init__(self) -> None:
        super().__init__("upgrade_required", "this address is a WebSocket: open it with a WebSocket client, version 13")


class TooManySockets(Refusal):
    """Its user has as many WebSockets open as the server lets one have."""

    status = 429

    def __init__(self, most: int) -> None:
        super().__init__("too_many", f"one user may have {most:,} WebSockets open here; close one that is not needed")


class AuthUnavailable(Refusal):
    """Nobody's token can be checked now; the same request may pass later.

    Attributes:
        retry_after: seconds until asking again makes sense.
    """

    status = 503

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__("auth_unavailable", message)
        self.retry_after = retry_after


def spelled(size: int) -> str:
    """A number of bytes in words, such as "64 MiB"."""
    for unit, one in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size} bytes"


def note_refusal(handler: object, refusal: Refusal) -> None:
    """Keep with a request why its credentials were not accepted, for whoever answers it."""
    handler._fleet_refusal = refusal  # type: ignore[attr-defined]


def refusal_of(handler: object) -> Refusal:
    """Why a request is not signed in."""
    refusal: Refusal = getattr(handler, "_fleet_refusal", None) or NoCredentials()
    return refusal
