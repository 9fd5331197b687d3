"""The routes of runs: parse, call the service, answer."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from tornado.iostream import StreamClosedError

from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.base import Handler
from fleet_rlm.server.services.errors import Refused
from fleet_rlm.server.services.kernels.attaching import check_attaching
from fleet_rlm.server.services.runs.models import (
    ApproveRun,
    BranchRun,
    EventQuery,
    GiveFeedback,
    ResumeRun,
    RunQuery,
    SpanPage,
    StartRun,
    Stopped,
)

NDJSON = "application/x-ndjson"
RESOURCE = "fleet.runs"


class Runs(Handler):
    """All runs."""

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """List them, the latest first."""
        asked = self.query(RunQuery)
        self.answer(await self.house.reading.list(self.identity, **asked.model_dump()))

    @authorized("execute", RESOURCE)
    async def post(self) -> None:
        """Start one."""
        asked = self.read(StartRun)
        if asked.kernel_id is not None:
            await check_attaching(self)
        self.answer(await self.house.runs.start(self.identity, asked), 201)


class OneRun(Handler):
    """One run."""

    @authorized("read", RESOURCE)
    async def get(self, run: str) -> None:
        """Where it is, and its answer."""
        self.answer(await self.house.reading.get(self.identity, run))


class Spans(Handler):
    """The spans of a run."""

    @authorized("read", RESOURCE)
    async def get(self, run: str) -> None:
        """All, in order of start."""
        self.answer(SpanPage.whole(await self.house.reading.spans(self.identity, run)))


class Events(Handler):
    """The events of a run."""

    @authorized("read", RESOURCE)
    async def get(self, run: str) -> None:
        """A page of them as JSON; where the client accepts NDJSON, all there are, a line each, as the log has them."""
        asked = self.query(EventQuery)
        if NDJSON in self.request.headers.get("Accept", ""):
            if "limit" in asked.model_fields_set:
                raise Refused("as NDJSON all events from since on come at once: leave limit out, or ask for JSON")
            self.audited, self.audited_object = "run.export", run
            await self._export(run, asked.since)
        else:
            self.answer(await self.house.reading.page(self.identity, run, asked.since, asked.limit))

    async def _export(self, run: str, since: int) -> None:
        await self.house.reading.check_place(self.identity, run, since)
        async with aclosing(self.house.reading.written(self.identity, run, since)) as batches:
            async for batch in batches:
                self.set_header("Content-Type", NDJSON)
                self.write(b"".join(line + b"\n" for line in batch.lines))
                try:
                    await self.flush()
                except StreamClosedError:  # the client has had enough
                    return
        self.finish(set_content_type=NDJSON)


class Stop(Handler):
    """Stopping a run."""

    @authorized("execute", RESOURCE)
    async def post(self, run: str) -> None:
        """Ask it to end; its last events follow."""
        await self.house.runs.stop(self.identity, run)
        self.answer(Stopped(run=run), 202)


class Resume(Handler):
    """Going on with a run."""

    @authorized("execute", RESOURCE)
    async def post(self, run: str) -> None:
        """Go on where its log ends."""
        self.answer(await self.house.runs.resume(self.identity, run, self.read(ResumeRun)))


class Branch(Handler):
    """Branching a run."""

    @authorized("execute", RESOURCE)
    async def post(self, run: str) -> None:
        """Start another from one of its spans on."""
        self.answer(await self.house.runs.branch(self.identity, run, self.read(BranchRun)), 201)


class Approve(Handler):
    """Answering what a run asks."""

    @authorized("execute", RESOURCE)
    async def post(self, run: str) -> None:
        """Let it go on, or not."""
        await self.house.runs.approve(self.identity, run, self.read(ApproveRun))
        self.set_status(204)
        self.finish()


class FeedbackOnRun(Handler):
    """Judging a run."""

    @authorized("write", "fleet.feedback")
    async def post(self, run: str) -> None:
        """Keep a judgement."""
        self.answer(await self.house.runs.feedback(self.identity, run, self.read(GiveFeedback)), 201)


_RUN = r"/fleet/api/v1/runs/(?P<run>[A-Za-z0-9._-]{1,64})"

ROUTES: list[tuple[str, type[Any]]] = [
    (r"/fleet/api/v1/runs", Runs),
    (_RUN, OneRun),
    (_RUN + "/spans", Spans),
    (_RUN + "/events", Events),
    (_RUN + "/stop", Stop),
    (_RUN + "/resume", Resume),
    (_RUN + "/branch", Branch),
    (_RUN + "/approve", Approve),
    (_RUN + "/feedback", FeedbackOnRun),
]
