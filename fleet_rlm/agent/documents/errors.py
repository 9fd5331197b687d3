"""What may go wrong with documents."""

from __future__ import annotations

from fleet_rlm.core.errors import ContextError


class DocumentError(ContextError):
    """A document cannot be loaded, found or read; the message says what to do instead."""
