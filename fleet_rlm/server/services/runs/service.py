"""RunService: what can be done with runs, for one identity at a time, over plain coroutines.

What they tell is read by `Reading`, and what is whose is known to `Owned`.

    started = await runs.start(identity, StartRun(message="Which deploy broke checkout?", session="incident"))
    await runs.stop(identity, started.run)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fleet_rlm.server.services.errors import Busy, Conflict, ModelUnavailable, Refused, Unavailable
from fleet_rlm.server.services.kernels.service import Held, Kernels
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.runs.door import Door, Entry
from fleet_rlm.server.services.runs.live import LiveRuns
from fleet_rlm.server.services.runs.models import (
    ApproveRun,
    BranchRun,
    Feedback,
    GiveFeedback,
    ResumeRun,
    Started,
    StartRun,
)
from fleet_rlm.server.services.runs.owned import Owned

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.server.services.lm.upstream import Models
    from fleet_rlm.sessions.store.tables import Run as Row

ENGINE_OPTIONS = {"mode", "model", "sub_model", "budget", "timeout", "depth", "batch_concurrency", "approve"}
OPTIONS = {"model": "lm", "sub_model": "sub_lm", "batch_concurrency": "concurrency"}
"""Names in a request that the engine calls otherwise."""

Allow = Callable[[str, int | None], object]


class RunService:
    """The runs of everybody; each verb reaches those of the identity it is given.

    Args:
        kernels: where they go on.
        owned: finds what is that identity's.
        live: the runs that go on.
        allow: called with a kernel's id and the model calls that the run about to begin there may make.
        models: gives those a kernel of ours may be told to use.
        door: what lets a run in, and is told of it.

    Raises (every verb that names a run):
        NotFound: there is no such run for this identity.
        StoreError: the store cannot be used now.
    """

    def __init__(
        self,
        kernels: Kernels,
        owned: Owned,
        live: LiveRuns,
        *,
        allow: Allow,
        models: Callable[[], Models],
        door: Door,
    ) -> None:
        self._kernels = kernels
        self._owned = owned
        self._live = live
        self._allow = allow
        self._models = models
        self._door = door

    async def start(self, identity: Identity, asked: StartRun) -> Started:
        """Ask a question in a session; returns as soon as the run has begun.

        Raises:
            Refused: it cannot be asked as written.
            Busy: the session is answering a question.
            InUse: the session is open in a kernel that is not ours.
            ModelUnavailable: there is no such model, or no key for it.
            KernelDied: the session's kernel would not start, or ended.
            TooMany: more kernels than the server allows.
            QuotaReached: a quota is used up.
        """
        owner = Owner.of(identity)
        self._owned.catch_up(owner)
        async with self._door.entering(owner, "run.start") as entry:
            held = await self._kernels.open(owner, asked.session, asked.kernel_id)
            told = asked.model_dump(include=ENGINE_OPTIONS)
            return await self._begun(
                entry,
                held,
                asked.budget,
                "start",
                message=asked.message,
                options=self._for_engine(held, told),
                paths=list(asked.context_paths),
                docs=list(asked.docs),
                repo_url=asked.repo_url,
                repo_ref=asked.repo_ref,
            )

    async def stop(self, identity: Identity, run: str) -> None:
        """Ask a run to end now; its last events follow. Raises Conflict: it is not going on."""
        await self._working(identity, run, "stop")
        self._door.done(Owner.of(identity), "run.stop", run)

    async def resume(self, identity: Identity, run: str, asked: ResumeRun) -> Started:
        """Go on with a run that has no answer, in its session. Raises as `start`, and Conflict: it has its answer."""
        row, session = await self._session_of(identity, run)
        if row.status == "ok":
            raise Conflict("the run has its answer; branch it to try something else from any point of it")
        owner = Owner.of(identity)
        async with self._door.entering(owner, "run.resume", run) as entry:
            held = await self._kernels.open(owner, session)
            await self._live.leave(run)
            changes = self._for_engine(held, asked.model_dump())
            return await self._begun(entry, held, asked.budget, "resume", run=run, changes=changes)

    async def branch(self, identity: Identity, run: str, asked: BranchRun) -> Started:
        """Another run from one of its spans on. Raises as `start`."""
        _, session = await self._session_of(identity, run)
        owner = Owner.of(identity)
        async with self._door.entering(owner, "run.branch", run) as entry:
            held = await self._kernels.open(owner, session)
            changes = self._for_engine(held, asked.model_dump(exclude={"span"}))
            return await self._begun(entry, held, asked.budget, "branch", run=run, span=asked.span, changes=changes)

    async def approve(self, identity: Identity, run: str, asked: ApproveRun) -> None:
        """Answer what a run asks. Raises Conflict: it asks nothing, or was answered; Refused: no such option."""
        answer = asked.model_dump()
        await self._working(identity, run, "approve", **answer, by=identity.user)
        self._door.done(Owner.of(identity), "run.approve", run)

    async def command(self, identity: Identity, session: str, command: str, args: dict[str, Any]) -> Any:
        """Carry out a command of a session, such as `list_documents`. Raises as `start`, and Refused: there is none."""
        held = await self._kernels.open(Owner.of(identity), session, with_place=False)
        return await _answer(held, "command", session=held.session, command=command, args=args)

    async def feedback(self, identity: Identity, run: str, given: GiveFeedback) -> Feedback:
        """Judge a run or one of its spans."""
        await self._owned.row(identity, run)
        scope = await self._owned.scope_now(identity)
        kept = await scope.feedback.agive(
            run, given.name, given.value, comment=given.comment, expected=given.expected, span=given.span
        )
        return Feedback(
            id=kept.id,
            run=run,
            span=kept.span,
            name=kept.name,
            value=kept.value,
            comment=kept.comment,
            expected=kept.expected,
            created_at=kept.created_at,
        )

    def _for_engine(self, held: Held, told: dict[str, Any]) -> dict[str, Any]:
        """What was given, by the engine's names, models by those a kernel of ours knows them by."""
        given = {OPTIONS.get(name, name): value for name, value in told.items() if value is not None}
        for option in ("lm", "sub_lm"):
            if option in given and self._kernels.is_own(held):
                models = self._models()
                name = models.in_kernel(given[option])
                if name is None:
                    there_are = ", ".join(models.known) or "none but the stand-in, fleet/offline"
                    raise ModelUnavailable(f"this server has no model {given[option]!r}; there are: {there_are}")
                given[option] = name
        return given

    async def _begun(self, entry: Entry, held: Held, budget: int | None, verb: str, **args: Any) -> Started:
        if held.is_beginning or self._live.is_working(held):  # or a run that goes on would get its model calls anew
            raise Busy(f"session {held.name!r} is answering a question; stop its run, or wait for it")
        held.is_beginning = True
        try:
            self._allow(held.link.kernel_id, budget)
            told = await _answer(held, verb, session=held.session, **args)
            run, following = told["run"], told["next"]
            late = self._live.get(run)
            if late is not None and late.feed.is_over and late.feed.next <= following:
                await self._live.leave(run)  # the end from before the resume, told once more while the kernel was asked
            live = self._live.get(run) or self._live.begin(held, run, following)
        finally:
            held.is_beginning = False
        self._door.follow(entry, live, metered=self._kernels.is_own(held))
        return Started(run=run, session=held.session, next=following)

    async def _session_of(self, identity: Identity, run: str) -> tuple[Row, str]:
        row = await self._owned.row(identity, run)
        live = self._live.get(run)
        if live is not None and not live.feed.is_over:
            raise Conflict(f"run {run} is still going on")
        if row.session_id is None:
            raise Refused(f"run {run} belongs to no session; go on with it where it was started")
        return row, row.session_id

    async def _working(self, identity: Identity, run: str, verb: str, **args: Any) -> None:
        live = await self._owned.live(identity, run)
        if live is None or live.feed.is_over:
            raise Conflict(f"run {run} is not going on")
        await _answer(live.held, verb, run=run, **args)


async def _answer(held: Held, verb: str, **args: Any) -> Any:
    try:
        return await held.link.ask(verb, **args)
    except TimeoutError:
        raise Unavailable(f"the kernel of session {held.name!r} does not answer; stop its runs, or close it") from None
