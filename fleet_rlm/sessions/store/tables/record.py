"""Runs, and what their logs hold: events as they were written, spans and artifacts derived from them.

An event's payload is the log's own line, kept as text: JSONB would refuse a NUL that generated code printed, and
reorder what a resumed run compares.
"""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from fleet_rlm.sessions.store.columns import Document, Id, Moment, Name, Number, Words, now
from fleet_rlm.sessions.store.tables.base import PREFIX, Base, OfRun, Owned, Tenanted, part_of


class Run(Tenanted, Owned, Base, kw_only=True):
    """The execution of one turn, or of a bare `fleet.run`.

    Attributes:
        status: "running", "ok", "exhausted", "stopped", "failed", or "cut" where its process died before it ended.
        last_seq: of its events that are stored; -1 before the first.
        lease_owner, lease_fence, lease_until: the one writer; the number grows with each new one.
    """

    __tablename__ = f"{PREFIX}runs"
    __table_args__ = (
        part_of("sessions", "session_id"),
        Index(None, "tenant_id", "user_id", "started_at"),
        Index(None, "tenant_id", "session_id", "started_at"),
        Index(None, "tenant_id", "parent_run"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    session_id: Mapped[str | None] = mapped_column(Id, default=None)
    parent_run: Mapped[str | None] = mapped_column(Id, default=None)
    status: Mapped[str] = mapped_column(Id, default="running")
    task: Mapped[str] = mapped_column(Words, default="")
    mode: Mapped[str | None] = mapped_column(Id, default=None)
    model: Mapped[str | None] = mapped_column(Words, default=None)
    sub_model: Mapped[str | None] = mapped_column(Words, default=None)
    offline: Mapped[bool] = mapped_column(default=False)
    answer: Mapped[Any] = mapped_column(Document, nullable=True, default=None)
    error_type: Mapped[str | None] = mapped_column(Words, default=None)
    error: Mapped[str | None] = mapped_column(Words, default=None)
    llm_calls: Mapped[int] = mapped_column(Number, default=0)
    tokens_in: Mapped[int | None] = mapped_column(Number, default=None)
    tokens_out: Mapped[int | None] = mapped_column(Number, default=None)
    tokens_cached: Mapped[int | None] = mapped_column(Number, default=None)
    cost_usd: Mapped[float | None] = mapped_column(default=None)
    started_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)
    ended_at: Mapped[datetime.datetime | None] = mapped_column(Moment, default=None)
    last_seq: Mapped[int] = mapped_column(Number, default=-1)
    lease_owner: Mapped[str | None] = mapped_column(Name, default=None)
    lease_fence: Mapped[int] = mapped_column(Number, default=0)
    lease_until: Mapped[datetime.datetime | None] = mapped_column(Moment, default=None)


class Event(Tenanted, OfRun, Base, kw_only=True):
    """One record of a run's log; `payload` is its line of JSON, `ts` microseconds since 1970 UTC."""

    __tablename__ = f"{PREFIX}events"
    __table_args__ = (part_of("runs", "run_id"),)
    GRANTS: ClassVar[str] = "select, insert"

    seq: Mapped[int] = mapped_column(Number, primary_key=True)
    ts: Mapped[int] = mapped_column(Number)
    kind: Mapped[str] = mapped_column(Id)
    span: Mapped[str | None] = mapped_column(Id, default=None)
    payload: Mapped[str] = mapped_column(Text)


class Span(Tenanted, OfRun, Base, kw_only=True):
    """One timed piece of a run, written when it has ended; the columns are those of `Run.spans()`."""

    __tablename__ = f"{PREFIX}spans"
    __table_args__ = (part_of("runs", "run_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    parent: Mapped[str | None] = mapped_column(Id, default=None)
    seq: Mapped[int] = mapped_column(Number)
    depth: Mapped[int] = mapped_column(default=0)
    type: Mapped[str] = mapped_column(Id)
    name: Mapped[str] = mapped_column(Words)
    status: Mapped[str] = mapped_column(Id)
    started_at: Mapped[datetime.datetime] = mapped_column(Moment)
    ended_at: Mapped[datetime.datetime | None] = mapped_column(Moment, default=None)
    model: Mapped[str | None] = mapped_column(Words, default=None)
    llm_calls: Mapped[int | None] = mapped_column(Number, default=None)
    tokens_in: Mapped[int | None] = mapped_column(Number, default=None)
    tokens_out: Mapped[int | None] = mapped_column(Number, default=None)
    tokens_cached: Mapped[int | None] = mapped_column(Number, default=None)
    cost_usd: Mapped[float | None] = mapped_column(default=None)
    input: Mapped[str | None] = mapped_column(Words, default=None)
    output: Mapped[str | None] = mapped_column(Words, default=None)
    code: Mapped[str | None] = mapped_column(Words, default=None)
    error_type: Mapped[str | None] = mapped_column(Words, default=None)
    error: Mapped[str | None] = mapped_column(Words, default=None)
    attrs: Mapped[dict[str, Any]] = mapped_column(Document, default_factory=dict)


class Artifact(Tenanted, OfRun, Base, kw_only=True):
    """A file or an oversized value a run kept.

    Attributes:
        path: where it lies, on the machine or volume of the run.
        provenance: what made it: span, code, tool.
    """

    __tablename__ = f"{PREFIX}artifacts"
    __table_args__ = (part_of("runs", "run_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Words)
    mime: Mapped[str] = mapped_column(Words)
    bytes: Mapped[int] = mapped_column(Number)
    sha256: Mapped[str] = mapped_column(Id)
    path: Mapped[str] = mapped_column(Words)
    provenance: Mapped[dict[str, Any]] = mapped_column(Document, default_factory=dict)
    created_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)
