"""RunService: everything that can be done with runs, for one identity at a time, over plain coroutines.

A run belongs to (tenant, user). For everybody else it does not exist: asking for it gives the same `NotFound` as a name
nobody ever gave. What a run is told by its kernel goes into a `Feed`; what was told before is read from the run's file
or the store, so `events` has neither gap nor duplicate wherever it begins.

    started = await runs.start(identity, StartRun(message="Which deploy broke checkout?", session="incident"))
    async for batch in runs.events(identity, started.run, since=0):
        ...
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fleet_rlm.server.services.errors import Conflict, KernelDied, NotFound
from fleet_rlm.server.services.page import Page
from fleet_rlm.server.services.runs import models
from fleet_rlm.server.services.runs.feed import Batch, Feed
from fleet_rlm.server.services.runs.models import (
    ApproveRun,
    BranchRun,
    EventPage,
    Feedback,
    GiveFeedback,
    ResumeRun,
    Run,
    Span,
    Started,
    StartRun,
)

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity

logger = logging.getLogger("fleet_rlm")


class RunService:
    """The runs of everybody; each verb sees those of the identity it is given.

    Raises (every verb that names a run):
        NotFound: there is no such run for this identity.
        Unavailable: the store cannot be used now.
    """

    async def start(self, identity: Identity, asked: StartRun) -> Started:
        """Ask a question in a session; returns as soon as the run has begun.

        Raises:
            Refused: it cannot be asked as written.
            Busy: the session is answering a question.
            InUse: the session is open in a kernel that is not ours.
            ModelUnavailable: there is no such model, or no key for it.
            KernelDied: the session's kernel would not start, or ended.
            TooMany: more kernels than the server allows.
        """
        raise NotImplementedError

    async def get(self, identity: Identity, run: str) -> Run:
        """One run."""
        raise NotImplementedError

    async def list(
        self,
        identity: Identity,
        *,
        session: str | None = None,
        status: str | None = None,
        search: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[Run]:
        """Runs, the latest first; `session` is an id or a name, `search` a part of the task."""
        raise NotImplementedError

    async def spans(self, identity: Identity, run: str) -> list[Span]:
        """All spans of a run in order of start, those that go on too."""
        raise NotImplementedError

    def events(self, identity: Identity, run: str, since: int = 0) -> AsyncIterator[Batch]:
        """The events from `since` on: those that were, then those that come, until the run is over."""
        raise NotImplementedError

    async def page(self, identity: Identity, run: str, since: int = 0, limit: int = 1_000) -> EventPage:
        """Up to `limit` events from `since` on, without waiting for more."""
        raise NotImplementedError

    async def stop(self, identity: Identity, run: str) -> None:
        """Ask a run to end now; its last events follow. Raises Conflict: it is not going on."""
        raise NotImplementedError

    async def resume(self, identity: Identity, run: str, asked: ResumeRun) -> Started:
        """Go on with a run that has no answer, in its session. Raises as `start`, and Conflict: it has its answer."""
        raise NotImplementedError

    async def branch(self, identity: Identity, run: str, asked: BranchRun) -> Started:
        """Another run from one of its spans on. Raises as `start`."""
        raise NotImplementedError

    async def approve(self, identity: Identity, run: str, asked: ApproveRun) -> None:
        """Answer what a run asks. Raises Conflict: it asks nothing."""
        raise NotImplementedError

    async def feedback(self, identity: Identity, run: str, given: GiveFeedback) -> Feedback:
        """Judge a run or one of its spans."""
        raise NotImplementedError


__all__ = ["Batch", "Conflict", "Feed", "KernelDied", "NotFound", "RunService", "models"]
