"""What every REST handler of ours has: the services, a checked body, JSON answers, and errors that say what to do.

An error is `{"code": ..., "message": ...}` with the status that fits: of a service by its own, of the store by its
kind, a body that is not as the model wants it 422 with the places. What nobody foresaw is 500 and says nothing of
itself; the log has it, under the request's id, which every answer carries in `X-Request-Id`.
"""

from __future__ import annotations

import functools
import re
import secrets
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.server import metrics
from fleet_rlm.server.asked import arguments, document
from fleet_rlm.server.auth.authorizer import permission_of, was_denied
from fleet_rlm.server.auth.guard import FleetHandler
from fleet_rlm.server.faults import faults
from fleet_rlm.server.services.errors import ServiceError
from fleet_rlm.server.services.owner import Owner

if TYPE_CHECKING:
    from fleet_rlm.server.services.house import House

M = TypeVar("M", bound=BaseModel)

HOUSE = "fleet_house"
"""Of the web application: the services behind all handlers."""

AUDITED = {
    ("write", "fleet.runtime"): "settings.change",
    ("execute", "fleet.runtime"): "settings.check",
    ("read", "fleet.audit"): "audit.read",
}
"""What the audit notes of any request that asks for this permission."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_STORE: dict[str, tuple[int, str]] = {
    "NotFound": (404, "not_found"),
    "NameTaken": (409, "name_taken"),
    "LeaseLost": (409, "conflict"),
    "NotAdmitted": (403, "tenant_forbidden"),
    "QuotaExceeded": (429, "quota_exceeded"),
    "StoreUnavailable": (503, "store_unavailable"),
}
"""Errors of the store by name: importing it means importing SQLAlchemy."""


def told(error: BaseException) -> tuple[int, str, str] | None:
    """Status, code and sentence of an error that is meant for whoever asked; None for one that is a fault of ours."""
    if isinstance(error, ServiceError):
        return (error.status, error.code, str(error)) if error.status < 500 or type(error) is not ServiceError else None
    if isinstance(error, ValidationError):
        return 422, "invalid_request", faults(error)
    if isinstance(error, FleetError):
        for kind in type(error).__mro__:
            if kind.__name__ in _STORE and kind.__module__.startswith("fleet_rlm.sessions.store"):
                return (*_STORE[kind.__name__], str(error))
        return (400, "bad_request", str(error)) if isinstance(error, UserError) else None
    return None


class Handler(FleetHandler):
    """A REST handler; mark each verb with `authorized`."""

    @property
    def house(self) -> House:
        """The services."""
        house: House = self.settings[HOUSE]
        return house

    audited: str | None = None  # the action that the audit notes, and what it is done to
    audited_object: str | None = None

    @functools.cached_property
    def request_id(self) -> str:
        """The id that the client gave the request, or one of ours."""
        given = self.request.headers.get("X-Request-Id", "")
        return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)

    def set_default_headers(self) -> None:
        """The request's id, with errors too."""
        super().set_default_headers()
        self.set_header("X-Request-Id", self.request_id)

    async def admit(self, **options: Any) -> None:
        """Find out who asks, and whether they ask too often."""
        await super().admit(**options)
        permission = permission_of(getattr(self, (self.request.method or "").lower(), None))
        if permission is not None and self.current_user is not None:
            self.audited = AUDITED.get((permission.action, permission.resource))
            self.house.rates.take(Owner.of(self.identity), permission.action)

    def on_finish(self) -> None:
        """Note in the audit what is of interest there."""
        if self.audited is not None and self.current_user is not None and not was_denied(self):
            status = self.get_status()
            outcome = "ok" if status < 400 else "denied" if status in (401, 403, 429) else "failed"
            self.house.audit.record(Owner.of(self.identity), self.audited, self.audited_object, outcome)
        super().on_finish()

    def read(self, model: type[M]) -> M:
        """The body as the model; JSON has types, so "5" is no number and true none either.

        Raises:
            ValidationError: it is not what the model wants.
            Refused: it says something twice, or holds what is no JSON.
        """
        return model.model_validate_json(document(self.request.body or b"{}"), strict=True)

    def query(self, model: type[M]) -> M:
        """The query arguments as the model; one that it does not know is refused.

        Raises:
            ValidationError: they are not what the model wants.
            Refused: one is given twice, or is no text.
        """
        return model.model_validate(arguments(self.request.query_arguments))

    def answer(self, model: BaseModel, status: int = 200) -> None:
        """Finish with a model as JSON."""
        self.set_status(status)
        self.finish(model.model_dump_json())

    def explained(self, error: BaseException | None, status: int) -> tuple[int, str, str]:
        """What a service or the store says of itself; else what the server says, with the request's id."""
        known = told(error) if error is not None else None
        status, code, message = known or super().explained(error, status)
        return status, code, message if status != 500 else f"{message}, under request {self.request_id}"

    def write_error(self, status_code: int, **details: Any) -> None:
        """Count it."""
        error = (details.get("exc_info") or (None, None))[1]
        metrics.REFUSALS.labels(self.explained(error, status_code)[1]).inc()
        super().write_error(status_code, **details)

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """What was told to whoever asked needs no trace in the log."""
        known = told(value) if value is not None else None
        if known is None:
            super().log_exception(typ, value, tb)
        else:
            self.log.info("%s %s: %s", self.request.method, self.request.path, known[1])
