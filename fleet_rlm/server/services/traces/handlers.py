"""The route of traces: feedback on a run, as `/runs/{run}/feedback` takes it under another name."""

from __future__ import annotations

from typing import Any

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.traces.models import TraceFeedback


class Feedback(Handler):
    """Judging the answer of a run."""

    @authorized("write", "fleet.feedback")
    async def post(self) -> None:
        """Keep a judgement."""
        asked = self.read(TraceFeedback)
        self.answer(await self.house.runs.feedback(self.identity, asked.trace_id, asked.given()), 201)


ROUTES: list[tuple[str, type[Any]]] = [(r"/fleet/api/v1/traces/feedback", Feedback)]
