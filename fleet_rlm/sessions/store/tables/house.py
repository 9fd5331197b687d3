"""Tenants and users, their settings, quotas and reservations, and the audit."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

from sqlalchemy.orm import Mapped, mapped_column

from fleet_rlm.sessions.store.columns import Document, Id, Moment, Name, Number, Words, now
from fleet_rlm.sessions.store.tables.base import PREFIX, Base, Tenanted


class Tenant(Tenanted, Base, kw_only=True):
    """An organisation; its row is visible to itself only. `status` is "active" or "suspended"."""

    __tablename__ = f"{PREFIX}tenants"

    name: Mapped[str | None] = mapped_column(Words, default=None)
    status: Mapped[str] = mapped_column(Id, default="active")
    created_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)


class User(Tenanted, Base, kw_only=True):
    """A member of the tenant; `status` is "active" or "suspended"."""

    __tablename__ = f"{PREFIX}users"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str | None] = mapped_column(Words, default=None)
    role: Mapped[str] = mapped_column(Id, default="member")
    status: Mapped[str] = mapped_column(Id, default="active")
    created_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)
    seen_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)


class Setting(Tenanted, Base, kw_only=True):
    """A setting of one user, or, where `user_id` is empty, of the whole tenant."""

    __tablename__ = f"{PREFIX}settings"

    user_id: Mapped[str] = mapped_column(Id, primary_key=True, default="")
    key: Mapped[str] = mapped_column(Name, primary_key=True)
    value: Mapped[Any] = mapped_column(Document, nullable=True)
    updated_at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)


class Quota(Tenanted, Base, kw_only=True):
    """What may be used of a metric in a period, and what is; no limit counts without refusing."""

    __tablename__ = f"{PREFIX}quotas"

    metric: Mapped[str] = mapped_column(Name, primary_key=True)
    period: Mapped[str] = mapped_column(Id, primary_key=True)
    limit: Mapped[int | None] = mapped_column(Number, default=None)
    used: Mapped[int] = mapped_column(Number, default=0)


class Reservation(Tenanted, Base, kw_only=True):
    """What is about to be used of a metric, counted as used until `expires_at`; whoever holds it puts that off.

    Attributes:
        id: of the holder, who may hold several metrics.
        period: of the quota it counts against; None where it counts against what may go on at once.
    """

    __tablename__ = f"{PREFIX}reservations"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    metric: Mapped[str] = mapped_column(Name, primary_key=True)
    period: Mapped[str | None] = mapped_column(Id, default=None)
    amount: Mapped[int] = mapped_column(Number)
    expires_at: Mapped[datetime.datetime] = mapped_column(Moment)


class Audit(Tenanted, Base, kw_only=True):
    """Who did what, when, and how it ended: never a token, never content. Each row seals the one before it.

    Attributes:
        seq: gap-free per tenant, from 0.
        hash: SHA-256 over the row and the hash of the one before.
    """

    __tablename__ = f"{PREFIX}audit"
    GRANTS: ClassVar[str] = "select, insert"

    seq: Mapped[int] = mapped_column(Number, primary_key=True)
    at: Mapped[datetime.datetime] = mapped_column(Moment, default_factory=now)
    actor: Mapped[str] = mapped_column(Id)
    action: Mapped[str] = mapped_column(Name)
    object: Mapped[str | None] = mapped_column(Words, default=None)
    outcome: Mapped[str] = mapped_column(Id)
    detail: Mapped[dict[str, Any]] = mapped_column(Document, default_factory=dict)
    hash: Mapped[str] = mapped_column(Id, default="")
