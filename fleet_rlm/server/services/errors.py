"""What a service refuses or cannot do, by whose fault it is; each has the status and the stable code that say so.

A handler does not translate: `base.py` answers any of these, and an error of the store or of a request, by its status.
"""

from __future__ import annotations

from fleet_rlm.core.errors import FleetError, UserError


class ServiceError(FleetError):
    """A service cannot do what was asked.

    Attributes:
        status: the HTTP status that says so.
        code: the stable name of the reason, for programs.
    """

    status: int = 500
    code: str = "internal_error"


class NotFound(ServiceError):
    """There is no such thing, or it belongs to somebody else: the two are told alike on purpose."""

    status, code = 404, "not_found"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name[:80]!r} here")


class Refused(ServiceError, UserError):
    """It cannot be done as it was asked; the message says how to ask."""

    status, code = 400, "bad_request"


class Forbidden(ServiceError):
    """It is known who is asking, and they may not."""

    status, code = 403, "permission_denied"


class Busy(ServiceError):
    """The session answers one question at a time, and is answering one."""

    status, code = 409, "session_busy"


class Conflict(ServiceError):
    """It is not in a state in which that can be done: a run that has ended cannot be stopped, say."""

    status, code = 409, "conflict"


class InUse(ServiceError):
    """The session is open in another kernel."""

    status, code = 409, "session_in_use"


class ModelUnavailable(ServiceError):
    """The model cannot be used: no key, no such name."""

    status, code = 424, "model_unavailable"


class KernelDied(ServiceError):
    """The kernel ended while it was asked, or would not start; what a run had done is in its log and can be resumed."""

    status, code = 503, "kernel_died"


class Unavailable(ServiceError):
    """It cannot be done now; the same request may pass later."""

    status, code = 503, "unavailable"


class TooMany(ServiceError):
    """More at once than the server allows."""

    status, code = 429, "too_many"
