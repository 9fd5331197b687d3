"""Sessions, their turns, and what is remembered."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fleet_rlm.sessions.store.columns import Document, Id, Moment, Name, Words, now
from fleet_rlm.sessions.store.tables.base import PREFIX, Base, OfSession, Owned, Tenanted, part_of


class Session(Tenanted, Owned, Base, kw_only=True):
    """A conversation.

    Attributes:
        name: how its user calls it; unique among their own.
        title: what it is about, for people.
        status: "active" or "archived".
        updated_at: of the last turn, or of the last change to name, title, metadata or status.
    """

    __tablename__ = f"{PREFIX}sessions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", "name"),
        Index(None, "tenant_id", "user_id", "status", "updated_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    title: Mapped[str | None] = mapped_column(Words, default=None)
    status: Mapped[str] = mapped_column(Id, default="active")
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", Document, default_factory=dict)
    created_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)
    updated_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)


class Turn(Tenanted, OfSession, Base, kw_only=True):
    """One user message and its answer, in the order of `index` from 0.

    Attributes:
        run_id: the run that answered; the run may be deleted before the turn is.
        status: of the run, "ok" where none was needed.
    """

    __tablename__ = f"{PREFIX}turns"
    __table_args__ = (part_of("sessions", "session_id"),)

    index: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str | None] = mapped_column(Id, default=None)
    message: Mapped[str] = mapped_column(Words)
    answer: Mapped[str | None] = mapped_column(Words, default=None)
    status: Mapped[str] = mapped_column(Id, default="ok")
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", Document, default_factory=dict)
    created_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)


class Memory(Tenanted, Owned, Base, kw_only=True):
    """Something remembered, for one session or (without one) for all sessions of its user.

    Attributes:
        kind: what sort of memory it is, in the words of whoever wrote it.
        provenance: where it came from: run, span, document, person.
    """

    __tablename__ = f"{PREFIX}memory"
    __table_args__ = (
        part_of("sessions", "session_id"),
        Index(None, "tenant_id", "user_id", "session_id", "kind"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    session_id: Mapped[str | None] = mapped_column(Id, default=None)
    kind: Mapped[str] = mapped_column(Id)
    text: Mapped[str] = mapped_column(Words)
    provenance: Mapped[dict[str, Any]] = mapped_column(Document, default_factory=dict)
    created_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)
    updated_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)
