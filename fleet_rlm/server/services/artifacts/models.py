"""What is asked of artifacts and told of them, as JSON."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from pydantic import Field

from fleet_rlm.server.services.runs.models import Id, Strict


class ArtifactQuery(Strict):
    """Which artifacts: those of one run, or of all."""

    run: Id | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 50
    offset: Annotated[int, Field(ge=0, le=2**31)] = 0


class Artifact(Strict):
    """A file a run made; `run` and `id` together name it."""

    run: str
    id: str
    name: str
    mime: str
    bytes: int
    sha256: str
    provenance: dict[str, Any]
    created_at: datetime.datetime
