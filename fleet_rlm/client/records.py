"""What a server tells, as records. Fields that a later server adds are left out; times are aware datetimes."""

from __future__ import annotations

import datetime
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

T = TypeVar("T")

Section = Literal["persona", "human", "scratchpad"]
"""A part of a session's core memory."""


class Page(Struct, Generic[T], frozen=True):
    """`items` from `offset` on, of `total`."""

    items: list[T]
    total: int
    offset: int
    limit: int
    has_more: bool


class Started(Struct, frozen=True):
    """A run goes on; `next` is the number of its next event."""

    run: str
    session: str
    next: int = 0


class Usage(Struct, frozen=True):
    """What model calls used; None was not reported."""

    llm_calls: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    cost_usd: float | None = None


class Ask(Struct, frozen=True):
    """What a run waits for a person to decide before it uses `tool`; `runs.approve` takes `seq` as its `ask`."""

    seq: int
    span: str
    tool: str
    question: str
    options: list[str]
    asked_at: datetime.datetime


class Run(Struct, frozen=True):
    """A run; `status` is "running", "ok", "exhausted", "stopped", "failed", or "cut" where its kernel died.

    `asks` is what it waits for now, oldest first.
    """

    id: str
    session: str | None
    parent_run: str | None
    status: str
    task: str
    mode: str | None
    model: str | None
    sub_model: str | None
    offline: bool
    answer: Any
    error_type: str | None
    error: str | None
    usage: Usage
    started_at: datetime.datetime
    ended_at: datetime.datetime | None
    asks: list[Ask]
    next: int


class Span(Struct, frozen=True):
    """One timed piece of a run."""

    id: str
    parent: str | None
    type: str
    name: str
    depth: int
    status: str
    started_at: datetime.datetime
    ended_at: datetime.datetime | None
    input: str | None
    code: str | None
    output: str | None
    error_type: str | None
    error: str | None
    usage: Usage | None
    attrs: dict[str, Any]


class Feedback(Struct, frozen=True):
    """A judgement as it was kept."""

    id: str
    run: str
    span: str | None
    name: str
    value: Any
    comment: str | None
    expected: Any
    created_at: datetime.datetime


class Session(Struct, frozen=True):
    """A session; `is_open` says that a kernel of the server holds it."""

    id: str
    name: str
    title: str | None
    status: str
    metadata: dict[str, Any]
    is_open: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime


class SessionDetail(Session, frozen=True):
    """A session, with how many turns it has."""

    turn_count: int


class Turn(Struct, frozen=True):
    """One question and what became of it."""

    index: int
    run: str | None
    message: str
    answer: str | None
    status: str
    created_at: datetime.datetime


class Artifact(Struct, frozen=True):
    """A file a run made."""

    run: str
    id: str
    name: str
    mime: str
    bytes: int
    sha256: str
    provenance: dict[str, Any]
    created_at: datetime.datetime


class ModelStats(Struct, frozen=True):
    """What runs with one model used."""

    model: str | None
    runs: int
    llm_calls: int
    tokens_in: int
    tokens_out: int
    cost_usd: float


class Stats(Struct, frozen=True):
    """What the runs of a session used, in calls, tokens, US dollars and seconds; what was not reported counts as 0."""

    session: str
    runs: int
    by_status: dict[str, int]
    llm_calls: int
    tokens_in: int
    tokens_out: int
    cost_usd: float
    duration_s: float
    by_model: list[ModelStats]


class OpenSession(Struct, frozen=True):
    """A session that is open in a kernel of the server, as it was saved last."""

    id: str
    name: str
    kernel_id: str
    own_kernel: bool
    is_answering: bool
    turns: int
    documents: int
    artifacts: int


class OpenSessions(Struct, frozen=True):
    """The sessions that are open in kernels of the server."""

    sessions: list[OpenSession]


class CoreMemory(Struct, frozen=True):
    """The texts that stand in every prompt of a session, by section."""

    session: str
    sections: dict[Section, str]


class MemoryItem(Struct, frozen=True):
    """One change of a section: what was written, by whom, and in which run."""

    section: Section
    mode: Literal["append", "replace"]
    content: str
    who: Literal["user", "agent"]
    at: datetime.datetime
    run: str | None


class Volume(Struct, frozen=True):
    """A volume, what it holds and what it may hold."""

    name: str
    bytes: int
    files: int
    quota_bytes: int
    quota_files: int


class Node(Struct, frozen=True):
    """A file of a volume, or a folder."""

    path: str
    name: str
    type: str
    bytes: int
    files: int
    modified_at: datetime.datetime


class Tree(Struct, frozen=True):
    """What is below a folder of a volume."""

    volume: str
    path: str
    nodes: list[Node]
    total_files: int
    total_folders: int
    truncated: bool


class Preview(Struct, frozen=True):
    """The beginning of a file; `text` is None where it is none."""

    volume: str
    path: str
    mime: str
    bytes: int
    text: str | None
    truncated: bool


class Health(Struct, frozen=True):
    """The server answers."""

    ok: bool
    version: str


class Part(Struct, frozen=True):
    """One thing that answering needs."""

    state: str
    reason: str | None


class Ready(Struct, frozen=True):
    """Whether a question that is asked now can be answered."""

    ready: bool
    model: Part
    store: Part
    sandbox: Part
    auth: Part


class Me(Struct, frozen=True):
    """Who is asking, and what they may do."""

    tenant: str
    user: str
    name: str | None
    roles: list[str]
    permissions: list[str]
    expires_at: int | None


class RuntimeSettings(Struct, frozen=True):
    """The settings of a server by variable; `changeable` names those it lets one change."""

    app_env: str
    changeable: list[str]
    values: dict[str, str | None]


class Checked(Struct, frozen=True):
    """A check that was made: what was tried, how long it took, and what was found or went wrong."""

    kind: Literal["lm", "sandbox"]
    ok: bool
    checked_at: datetime.datetime
    latency_ms: float
    detail: str


class RuntimeStatus(Struct, frozen=True):
    """How a server is doing; `checks` are the last ones since it was started."""

    version: str
    app_env: str
    model: str
    sub_model: str
    models: list[str]
    kernels: int
    runs_working: int
    readiness: Ready
    checks: list[Checked]


class AuditEntry(Struct, frozen=True):
    """Who did what, to which run or session, and how it ended; `hash` seals it and the one before it."""

    seq: int
    at: datetime.datetime
    actor: str
    action: str
    object: str | None
    outcome: str
    detail: dict[str, str | int | bool | None]
    hash: str


class AuditPage(Struct, frozen=True):
    """Entries, the latest first; `total` counts them from the cursor on, `cursor` leads to the next page."""

    items: list[AuditEntry]
    total: int
    limit: int
    has_more: bool
    cursor: int | None
