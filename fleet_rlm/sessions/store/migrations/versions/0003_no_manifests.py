"""Sessions without manifests: those are numbered files on the session's volume, and nobody wrote these columns."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Drop the columns where they are, not by copying the table: dropping that would take what hangs below it."""
    op.drop_column("fleet_sessions", "revision")
    op.drop_column("fleet_sessions", "manifest")
