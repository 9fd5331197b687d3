"""What is asked of sessions and told of them, as JSON."""

from __future__ import annotations

import datetime
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from fleet_rlm.server.services.runs.models import Strict

METADATA_BYTES = 16_000

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _of_our_calendar(moment: datetime.datetime) -> datetime.datetime:
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError("this is before year 1 or after year 9999, as UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_of_our_calendar)]


class SessionQuery(Strict):
    """Which sessions; `search` is a part of the name or the title."""

    search: Text | None = None
    status: Literal["active", "archived", "any"] = "active"
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 50
    offset: Annotated[int, Field(ge=0, le=2**31)] = 0


class PageQuery(Strict):
    """Which part of a list."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = 50
    offset: Annotated[int, Field(ge=0, le=2**31)] = 0


class PatchSession(Strict):
    """A new title, or metadata to merge into what there is; a key with null is removed."""

    title: Text | None = None
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _something_small(self) -> PatchSession:
        if self.title is None and self.metadata is None:
            raise ValueError("say what to change: title, metadata, or both")
        if self.metadata is not None and len(json.dumps(self.metadata)) > METADATA_BYTES:
            raise ValueError(f"metadata may have {METADATA_BYTES:,} bytes as JSON; keep what is longer in the volume")
        return self


class DeleteQuery(Strict):
    """How: archived by default; `permanent` leaves nothing of it. An administrator may name whose session it is."""

    permanent: bool = False
    user: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _for_good(self) -> DeleteQuery:
        if self.user is not None and not self.permanent:
            raise ValueError("only for permanent=true may a user be named; archiving is each user's own")
        return self


class ExportQuery(Strict):
    """What to write: "zip" is all of the session, for `Session.import_`; "parquet" the spans of its runs."""

    format: Literal["zip", "parquet"] = "zip"


class Session(Strict):
    """A session. `status` is "active" or "archived"; `is_open` says that a kernel of this server holds it."""

    id: str
    name: str
    title: str | None
    status: Literal["active", "archived"]
    metadata: dict[str, Any]
    is_open: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime


class SessionDetail(Session):
    """A session, with how many turns it has."""

    turn_count: int


class Turn(Strict):
    """One question and what became of it."""

    index: int
    run: str | None
    message: str
    answer: str | None
    status: str
    created_at: datetime.datetime


class ModelStats(Strict):
    """What runs with one model used."""

    model: str | None
    runs: int
    llm_calls: int
    tokens_in: int
    tokens_out: int
    cost_usd: float


class Stats(Strict):
    """What the runs of a session used; what was not reported counts as 0, durations are of runs that have ended."""

    session: str
    runs: int
    by_status: dict[str, int]
    llm_calls: int
    tokens_in: int
    tokens_out: int
    cost_usd: float
    duration_s: float
    by_model: list[ModelStats]


class OpenSession(Strict):
    """A session that is open in a kernel: what its state held when it was saved last, and whether a run goes on."""

    id: str
    name: str
    kernel_id: str
    own_kernel: bool
    is_answering: bool
    turns: int
    documents: int
    artifacts: int


class OpenSessions(Strict):
    """The sessions that are open in kernels of this server."""

    sessions: list[OpenSession]
