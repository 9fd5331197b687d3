"""What is asked of this server's settings and told of them, as JSON."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field

from fleet_rlm.server.services.health.models import Ready
from fleet_rlm.server.services.runs.models import Strict

Key = Literal["FLEET_LM", "FLEET_SUB_LM", "FLEET_WINDOW", "FLEET_DIRECT_CHARS", "FLEET_KEEP_MB"]


class RuntimeSettings(Strict):
    """The settings of this server by variable; null is unset, and of a secret no more than "(set)" is told.

    `changeable` names those that PATCH takes here: none unless APP_ENV is local.
    """

    app_env: str
    changeable: list[Key]
    values: dict[str, str | None]


class PatchSettings(Strict):
    """New values by variable; null goes back to what the server was started with."""

    updates: Annotated[
        dict[Key, Annotated[str, Field(min_length=1, max_length=200)] | None], Field(min_length=1, max_length=5)
    ]


class Checked(Strict):
    """A real check: what was tried, whether it worked, how long it took, and what was found or went wrong."""

    kind: Literal["lm", "sandbox"]
    ok: bool
    checked_at: datetime.datetime
    latency_ms: float
    detail: str


class RuntimeStatus(Strict):
    """How this server is doing; `checks` holds the last check of each kind since it was started."""

    version: str
    app_env: str
    model: str
    sub_model: str
    models: list[str]
    kernels: int
    runs_working: int
    readiness: Ready
    checks: list[Checked]
