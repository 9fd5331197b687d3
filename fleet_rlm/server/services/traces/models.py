"""Feedback as older clients give it; free of tornado, so that OpenAPI is made from it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fleet_rlm.server.services.runs.models import MESSAGE_CHARS, GiveFeedback, Id, Strict


class TraceFeedback(Strict):
    """Whether the answer of a run is correct; `trace_id` is the run's id."""

    trace_id: Id
    is_correct: bool
    comment: Annotated[str, Field(max_length=10_000)] | None = None
    expected_response: Annotated[str, Field(max_length=MESSAGE_CHARS)] | None = None

    def given(self) -> GiveFeedback:
        """The same as it is given to a run."""
        return GiveFeedback(
            name="correct", value=self.is_correct, comment=self.comment, expected=self.expected_response
        )
