"""What people say of answers, and what quality is measured on."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fleet_rlm.sessions.store.columns import Document, Id, Moment, Name, Words, now
from fleet_rlm.sessions.store.tables.base import PREFIX, Base, Owned, Tenanted, part_of


class Feedback(Tenanted, Owned, Base, kw_only=True):
    """One judgement of a run or of one of its spans, by the user who gave it.

    Attributes:
        name: what is judged, such as "correct".
        value: a JSON value: true, 0.7, "good".
        expected: what the answer should have been.
    """

    __tablename__ = f"{PREFIX}feedback"
    __table_args__ = (part_of("runs", "run_id"), Index(None, "tenant_id", "run_id"))

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    run_id: Mapped[str] = mapped_column(Id)
    span: Mapped[str | None] = mapped_column(Id, default=None)
    name: Mapped[str] = mapped_column(Name)
    value: Mapped[Any] = mapped_column(Document, nullable=True, default=None)
    comment: Mapped[str | None] = mapped_column(Words, default=None)
    expected: Mapped[Any] = mapped_column(Document, nullable=True, default=None)
    created_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)


class Dataset(Tenanted, Base, kw_only=True):
    """Named examples, shared by the tenant."""

    __tablename__ = f"{PREFIX}datasets"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    description: Mapped[str | None] = mapped_column(Words, default=None)
    created_by: Mapped[str] = mapped_column(Id)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", Document, default_factory=dict)
    created_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)


class Example(Tenanted, Base, kw_only=True):
    """One example of a dataset, in the order of `index` from 0."""

    __tablename__ = f"{PREFIX}examples"
    __table_args__ = (part_of("datasets", "dataset_id"),)

    dataset_id: Mapped[str] = mapped_column(Id, primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    input: Mapped[Any] = mapped_column(Document, nullable=True)
    expected: Mapped[Any] = mapped_column(Document, nullable=True, default=None)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", Document, default_factory=dict)
