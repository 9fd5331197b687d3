"""What a server tells, as records. Fields that a later server adds are left out; times are aware datetimes."""

from __future__ import annotations

import datetime
from typing import Any, Generic, TypeVar

from msgspec import UNSET, Struct, UnsetType

T = TypeVar("T")


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


class Run(Struct, frozen=True):
    """A run; `status` is "running", "ok", "exhausted", "stopped", "failed", or "cut" where its kernel died."""

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
    """A session; `turn_count` is told of one that was asked for by name."""

    id: str
    name: str
    title: str | None
    status: str
    metadata: dict[str, Any]
    is_open: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime
    turn_count: int | UnsetType = UNSET


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
