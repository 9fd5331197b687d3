"""Span: a timed piece of work in progress, and the one the calling context is in."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.errors import BudgetExhausted
from fleet_rlm.core.events import SpanEnd, SpanStatus, Usage
from fleet_rlm.core.journal import Edit

if TYPE_CHECKING:
    from fleet_rlm.core.log import RunLog


class Span:
    """A piece of work in progress: set what it yields, and the log writes it when the block ends.

    `edit` is what a branch changes here; `input` is what is asked, with that change; `is_recorded` says that the
    journal holds its beginning.
    """

    def __init__(
        self,
        log: RunLog,
        span_id: str,
        parent: Span | None,
        depth: int,
        input: str | None = None,
        edit: Edit | None = None,
        *,
        is_recorded: bool = False,
    ) -> None:
        self.log = log
        self.id = span_id
        self.parent = parent
        self.depth = depth
        self.input = input
        self.edit = edit
        self.is_recorded = is_recorded
        self.is_new = False  # something was done in it that the journal does not hold
        self.output: str | None = None
        self.usage: Usage | None = None
        self.attrs: dict[str, Any] = {}
        self._status: SpanStatus = "ok"
        self._error_type: str | None = None
        self._error: str | None = None

    def fail(self, error_type: str, error: str, status: SpanStatus = "error") -> None:
        """Mark the work as failed without raising here."""
        self._status, self._error_type, self._error = status, error_type, error

    def fail_with(self, error: BaseException) -> None:
        """Mark the work as failed, stopped or exhausted, as the exception says."""
        stopped = isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit))
        status: SpanStatus = "stopped" if stopped else "exhausted" if isinstance(error, BudgetExhausted) else "error"
        self.fail(type(error).__name__, str(error) or type(error).__name__, status)

    def end(self) -> SpanEnd:
        """The event that closes it."""
        return SpanEnd(
            span=self.id,
            status=self._status,
            output=self.output,
            usage=self.usage,
            error_type=self._error_type,
            error=self._error,
            attrs=self.attrs,
        )


CURRENT: contextvars.ContextVar[Span | None] = contextvars.ContextVar("fleet_rlm_span", default=None)
"""Set by `RunLog.span` alone."""


def current_span() -> Span | None:
    """The span of the calling context."""
    return CURRENT.get()
