"""Reservations as rows that lapse: those of a server that crashed stayed counted until the period ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fleet_rlm.sessions.store.columns import Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "fleet_reservations",
        sa.Column("tenant_id", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("metric", sa.String(200), primary_key=True),
        sa.Column("period", sa.String(64), nullable=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", "metric", name="pk_fleet_reservations"),
    )
