"""What each verb of each route takes and answers, by the models its handler uses; `openapi` makes a document of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from fleet_rlm.server.auth.ticket import AskTicket, Ticket
from fleet_rlm.server.services.artifacts.models import Artifact, ArtifactQuery
from fleet_rlm.server.services.execution.handlers import WatchQuery
from fleet_rlm.server.services.health.models import Health, Me, Ready
from fleet_rlm.server.services.memory.models import CoreMemory, EditMemory, MemoryItem
from fleet_rlm.server.services.page import Page
from fleet_rlm.server.services.runs.models import (
    ApproveRun,
    BranchRun,
    EventPage,
    EventQuery,
    Feedback,
    GiveFeedback,
    ResumeRun,
    Run,
    RunQuery,
    SpanPage,
    Started,
    StartRun,
    Stopped,
)
from fleet_rlm.server.services.runtime.models import Checked, PatchSettings, RuntimeSettings, RuntimeStatus
from fleet_rlm.server.services.sessions.models import (
    DeleteQuery,
    ExportQuery,
    OpenSessions,
    PageQuery,
    PatchSession,
    Session,
    SessionDetail,
    SessionQuery,
    Stats,
    Turn,
)
from fleet_rlm.server.services.traces.models import TraceFeedback
from fleet_rlm.server.services.trail.models import AuditPage, AuditQuery
from fleet_rlm.server.services.volumes.models import (
    FileQuery,
    Node,
    Preview,
    PreviewQuery,
    TreeQuery,
    Volume,
    VolumeTree,
)

JSON, OCTETS, NDJSON = "application/json", "application/octet-stream", "application/x-ndjson"


class Error(BaseModel):
    """Why it was not done: a stable code for programs, and a sentence with the way out."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str


class GatewayError(BaseModel):
    """The same as OpenAI's clients read it: {code, message, type, param}."""

    error: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One verb of one route.

    Attributes:
        body, query, answer: models; no body and no query where None, and an answer of no known shape.
        status: of an answer that is none of an error.
        also: further statuses with the same answer, such as 503 of a readiness that is told all the same.
        uploads: the body is a file as it is.
        media: types the answer may have besides, or instead of, JSON.
        socket: it opens a WebSocket.
        error: what is told where it was not done.
    """

    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: int = 200
    also: tuple[int, ...] = ()
    uploads: bool = False
    media: tuple[str, ...] = ()
    socket: bool = False
    error: type[BaseModel] = Error


_API = "/fleet/api/v1"
_SESSION, _RUN, _RUNTIME = f"{_API}/sessions/{{session}}", f"{_API}/runs/{{run}}", f"{_API}/runtime"

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("/fleet/health", "GET"): Operation(answer=Health),
    ("/fleet/ready", "GET"): Operation(answer=Ready, also=(503,)),
    ("/fleet/openapi.json", "GET"): Operation(),
    (f"{_API}/auth/me", "GET"): Operation(answer=Me),
    (f"{_API}/auth/ws-ticket", "POST"): Operation(body=AskTicket, answer=Ticket),
    (f"{_API}/sessions", "GET"): Operation(query=SessionQuery, answer=Page[Session]),
    (f"{_API}/sessions/state", "GET"): Operation(answer=OpenSessions),
    (_SESSION, "GET"): Operation(answer=SessionDetail),
    (_SESSION, "PATCH"): Operation(body=PatchSession, answer=SessionDetail),
    (_SESSION, "DELETE"): Operation(query=DeleteQuery, answer=SessionDetail),
    (f"{_SESSION}/restore", "POST"): Operation(answer=SessionDetail),
    (f"{_SESSION}/turns", "GET"): Operation(query=PageQuery, answer=Page[Turn]),
    (f"{_SESSION}/stats", "GET"): Operation(answer=Stats),
    (f"{_SESSION}/export", "GET"): Operation(
        query=ExportQuery, media=("application/zip", "application/vnd.apache.parquet")
    ),
    (f"{_SESSION}/memory", "GET"): Operation(answer=CoreMemory),
    (f"{_SESSION}/memory", "PATCH"): Operation(body=EditMemory, answer=CoreMemory),
    (f"{_SESSION}/memory/items", "GET"): Operation(query=PageQuery, answer=Page[MemoryItem]),
    (f"{_API}/runs", "GET"): Operation(query=RunQuery, answer=Page[Run]),
    (f"{_API}/runs", "POST"): Operation(body=StartRun, answer=Started, status=201),
    (_RUN, "GET"): Operation(answer=Run),
    (f"{_RUN}/spans", "GET"): Operation(answer=SpanPage),
    (f"{_RUN}/events", "GET"): Operation(query=EventQuery, answer=EventPage, media=(NDJSON,)),
    (f"{_RUN}/stop", "POST"): Operation(answer=Stopped, status=202),
    (f"{_RUN}/resume", "POST"): Operation(body=ResumeRun, answer=Started),
    (f"{_RUN}/branch", "POST"): Operation(body=BranchRun, answer=Started, status=201),
    (f"{_RUN}/approve", "POST"): Operation(body=ApproveRun, status=204),
    (f"{_RUN}/feedback", "POST"): Operation(body=GiveFeedback, answer=Feedback, status=201),
    (f"{_API}/ws/execution", "GET"): Operation(status=101, socket=True),
    (f"{_API}/ws/execution/events", "GET"): Operation(query=WatchQuery, status=101, socket=True),
    (f"{_API}/artifacts", "GET"): Operation(query=ArtifactQuery, answer=Page[Artifact]),
    (f"{_API}/artifacts/{{run}}/{{artifact}}", "GET"): Operation(media=("*/*",)),
    (f"{_RUNTIME}/volumes", "GET"): Operation(query=PageQuery, answer=Page[Volume]),
    (f"{_RUNTIME}/volume/tree", "GET"): Operation(query=TreeQuery, answer=VolumeTree),
    (f"{_RUNTIME}/volume/file", "GET"): Operation(query=PreviewQuery, answer=Preview),
    (f"{_RUNTIME}/volume/file", "PUT"): Operation(query=FileQuery, uploads=True, answer=Node, status=201),
    (f"{_RUNTIME}/volume/file", "DELETE"): Operation(query=FileQuery, status=204),
    (f"{_RUNTIME}/volume/download", "GET"): Operation(query=FileQuery, media=("*/*",)),
    (f"{_RUNTIME}/settings", "GET"): Operation(answer=RuntimeSettings),
    (f"{_RUNTIME}/settings", "PATCH"): Operation(body=PatchSettings, answer=RuntimeSettings),
    (f"{_RUNTIME}/status", "GET"): Operation(answer=RuntimeStatus),
    (f"{_RUNTIME}/tests/lm", "POST"): Operation(answer=Checked),
    (f"{_RUNTIME}/tests/sandbox", "POST"): Operation(answer=Checked),
    (f"{_API}/traces/feedback", "POST"): Operation(body=TraceFeedback, answer=Feedback, status=201),
    (f"{_API}/audit", "GET"): Operation(query=AuditQuery, answer=AuditPage),
    (f"{_API}/lm/chat/completions", "POST"): Operation(media=("text/event-stream",), error=GatewayError),
    (f"{_API}/lm/models", "GET"): Operation(error=GatewayError),
}
"""By path, as the document writes it, and verb."""
