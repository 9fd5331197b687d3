"""What is asked of the audit trail and told of it, as JSON."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field

from fleet_rlm.server.services.runs.models import Strict
from fleet_rlm.server.services.sessions.models import Moment, Text


class AuditQuery(Strict):
    """Which entries: all that fit, `limit` at a time, from `cursor` on, which the page before gave."""

    action: Text | None = None
    actor: Text | None = None
    object: Text | None = None
    outcome: Literal["ok", "denied", "failed"] | None = None
    after: Moment | None = None
    before: Moment | None = None
    cursor: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 50


class AuditEntry(Strict):
    """Who did what, to which run or session, and how it ended. `hash` seals it and the one before it."""

    seq: int
    at: datetime.datetime
    actor: str
    action: str
    object: str | None
    outcome: str
    detail: dict[str, str | int | bool | None]
    hash: str


class AuditPage(Strict):
    """Entries, the latest first. `total` counts them from the cursor on; `cursor` leads to the page that follows."""

    items: list[AuditEntry]
    total: int
    limit: int
    has_more: bool
    cursor: int | None
