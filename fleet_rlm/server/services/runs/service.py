"""RunService: everything that can be done with runs, for one identity at a time, over plain coroutines.

A run belongs to (tenant, user). For everybody else it does not exist: asking for it gives the same `NotFound` as a name
nobody ever gave. What a run is told by its kernel goes into a `Feed`; what was told before is read from the run's file
or the store, so `events` has neither gap nor duplicate wherever it begins.

    started = await runs.start(identity, StartRun(message="Which deploy broke checkout?", session="incident"))
    async for batch in runs.events(identity, started.run, since=0):
        ...
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fleet_rlm.core.tree import Tree
from fleet_rlm.server.services.errors import Conflict, ModelUnavailable, NotFound, Refused, Unavailable
from fleet_rlm.server.services.kernels.service import Held, Kernels
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.page import Page
from fleet_rlm.server.services.runs.door import Door, Entry
from fleet_rlm.server.services.runs.feed import Batch
from fleet_rlm.server.services.runs.history import MOST, History
from fleet_rlm.server.services.runs.live import Live, LiveRuns
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
from fleet_rlm.server.services.runs.shown import fold, run_of, span_of

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.server.services.lm.upstream import Models
    from fleet_rlm.sessions.store import Scope, Store
    from fleet_rlm.sessions.store.tables import Run as Row

WRITTEN_S = 2.0
"""How long to wait for the last rows of a run that has just ended."""

ENGINE_OPTIONS = {"mode", "model", "sub_model", "budget", "timeout", "depth", "batch_concurrency", "approve"}
OPTIONS = {"model": "lm", "sub_model": "sub_lm", "batch_concurrency": "concurrency"}
"""Names in a request that the engine calls otherwise."""

logger = logging.getLogger("fleet_rlm")

Allow = Callable[[str, int | None], object]


class RunService:
    """The runs of everybody; each verb sees those of the identity it is given.

    Args:
        kernels: where they go on.
        store: gives where they are kept; called when that is first needed.
        base: the server's FLEET_HOME.
        allow: called with a kernel's id and the model calls that the run about to begin there may make.
        models: those a kernel of ours may be told to use.
        door: what lets a run in, and is told of it.

    Raises (every verb that names a run):
        NotFound: there is no such run for this identity.
        StoreError: the store cannot be used now.
    """

    def __init__(
        self, kernels: Kernels, store: Callable[[], Store], base: Path, allow: Allow, models: Models, door: Door
    ) -> None:
        self._kernels = kernels
        self._open_store = store
        self._models = models
        self._base = base
        self._allow = allow
        self._door = door
        self._live = LiveRuns(store, door)
        self._caught_up: dict[Owner, asyncio.Task[None]] = {}
        kernels.listener = self._live

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
        self._catch_up(owner)
        async with self._door.entering(owner, "run.start") as entry:
            held = await self._kernels.open(owner, asked.session, asked.kernel_id)
            self._allow(held.link.kernel_id, asked.budget)
            told = asked.model_dump(include=ENGINE_OPTIONS)
            return await self._begun(
                entry,
                held,
                "start",
                message=asked.message,
                options=self._for_engine(held, told),
                paths=list(asked.context_paths),
                docs=list(asked.docs),
                repo_url=asked.repo_url,
                repo_ref=asked.repo_ref,
            )

    async def get(self, identity: Identity, run: str) -> Run:
        """One run."""
        live = await self._owned(identity, run)
        if live is not None and live.feed.is_over:
            await live.recorder.finished(timeout=WRITTEN_S)  # it is about to have the figures too
        return run_of(await self._row(identity, run), live)

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
        scope = await self.scope(identity)
        if session is not None:
            session = await self._session_id(identity, session)
        page = await scope.runs.alist(session_id=session, status=status, search=search, limit=limit, offset=offset)
        items = [run_of(row, self._live.get(row.id)) for row in page.items]
        return Page(items=items, total=page.total, offset=offset, limit=limit, has_more=page.has_more)

    async def spans(self, identity: Identity, run: str) -> tuple[Span, ...]:
        """All spans of a run in order of start, those that go on too."""
        tree = Tree()
        async for batch in self._past(identity, run, 0):
            await asyncio.to_thread(fold, tree, batch)
        return tuple(span_of(node) for node in tree.spans.values())

    async def events(self, identity: Identity, run: str, since: int = 0) -> AsyncGenerator[Batch]:
        """The events from `since` on: those that were, then those that come, until the run is over."""
        await self._owned(identity, run)
        await self._check_place(identity, run, since)
        place = since
        while True:
            live = self._live.get(run)
            batch = live.feed.since(place) if live is not None else None
            if batch is None:  # older than what is in memory, or all of it long over
                before = place
                async with aclosing(self._past(identity, run, place)) as past:
                    async for batch in past:
                        place = batch.next
                        yield batch
                if place == before and self._live.get(run) is None:
                    return
            elif batch.lines:
                place = batch.next
                yield batch
            elif live is None or live.feed.is_over:
                return
            else:
                await live.feed.changed(place)

    async def page(self, identity: Identity, run: str, since: int = 0, limit: int = 1_000) -> EventPage:
        """Up to `limit` events from `since` on, without waiting for more."""
        await self._check_place(identity, run, since)
        lines: list[bytes] = []
        async with aclosing(self.written(identity, run, since)) as past:
            async for batch in past:
                lines += batch.lines
                if len(lines) >= limit:
                    break
        lines = lines[:limit]
        live = self._live.get(run)
        following = since + len(lines)
        ended = (live is None or live.feed.is_over) and (
            len(lines) < limit or (await self.get(identity, run)).next <= following
        )
        events = [msgspec.json.decode(line) for line in lines]
        return EventPage(run=run, since=since, next=following, ended=ended, events=events)

    async def _check_place(self, identity: Identity, run: str, since: int) -> None:
        """Whoever reads on from behind the end would miss what a resumed run writes there.

        Raises:
            Refused: the run has not that many events.
        """
        if since and since > (following := (await self.get(identity, run)).next):
            raise Refused(
                f"run {run} has {following} events, so none can be read from {since} on; its next is {following}"
            )

    async def written(self, identity: Identity, run: str, since: int = 0) -> AsyncGenerator[Batch]:
        """The events that there are from `since` on, without waiting for more."""
        async with aclosing(self._past(identity, run, since)) as past:
            async for batch in past:
                yield batch

    async def stop(self, identity: Identity, run: str) -> None:
        """Ask a run to end now; its last events follow. Raises Conflict: it is not going on."""
        await self._working(identity, run, "stop")
        self._door.done(Owner.of(identity), "run.stop", run)

    async def resume(self, identity: Identity, run: str, asked: ResumeRun) -> Started:
        """Go on with a run that has no answer, in its session. Raises as `start`, and Conflict: it has its answer."""
        row, held = await self._session_of(identity, run)
        if row.status == "ok":
            raise Conflict("the run has its answer; branch it to try something else from any point of it")
        async with self._door.entering(held.owner, "run.resume", run) as entry:
            self._allow(held.link.kernel_id, asked.budget)
            await self._live.leave(run)
            changes = self._for_engine(held, asked.model_dump())
            return await self._begun(entry, held, "resume", run=run, changes=changes)

    async def branch(self, identity: Identity, run: str, asked: BranchRun) -> Started:
        """Another run from one of its spans on. Raises as `start`."""
        _, held = await self._session_of(identity, run)
        async with self._door.entering(held.owner, "run.branch", run) as entry:
            self._allow(held.link.kernel_id, asked.budget)
            changes = self._for_engine(held, asked.model_dump(exclude={"span"}))
            return await self._begun(entry, held, "branch", run=run, span=asked.span, changes=changes)

    async def approve(self, identity: Identity, run: str, asked: ApproveRun) -> None:
        """Answer what a run asks. Raises Conflict: it asks nothing, or was answered; Refused: no such option."""
        await self._working(identity, run, "approve", answer=asked.answer, ask=asked.ask, note=asked.note)
        self._door.done(Owner.of(identity), "run.approve", run)

    async def begun_in(self, identity: Identity, session: str) -> AsyncGenerator[tuple[str, int]]:
        """Runs of a session as they begin, and the number of the first event to come of each, first the one going on.

        Never ends by itself. Raises NotFound: there is no such session for this identity.
        """
        owner = Owner.of(identity)
        held = self._kernels.find(owner, session)
        key = held.session if held is not None else await self._session_id(identity, session)
        async with aclosing(self._live.begun_in(owner, key)) as starts:
            async for start in starts:
                yield start

    async def command(self, identity: Identity, session: str, command: str, args: dict[str, Any]) -> Any:
        """Carry out a command of a session, such as `list_documents`. Raises as `start`, and Refused: there is none."""
        held = await self._kernels.open(Owner.of(identity), session)
        return await _answer(held, "command", session=held.session, command=command, args=args)

    async def feedback(self, identity: Identity, run: str, given: GiveFeedback) -> Feedback:
        """Judge a run or one of its spans."""
        await self._row(identity, run)
        scope = await self._scope(identity)
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

    async def scope(self, identity: Identity) -> Scope:
        """The store as that user sees it, with what earlier kernels wrote and what has just begun."""
        mine = self._live.of(Owner.of(identity))
        beginning = [live.recorder.begun for live in mine if not live.recorder.begun.done()]
        if beginning:
            await asyncio.wait(beginning, timeout=WRITTEN_S)
        return await self._scope(identity)

    async def forget(self, identity: Identity, session: str) -> None:
        """Keep nothing in memory of the runs of a session, by its id, that are over."""
        await self._live.forget(Owner.of(identity), session)

    def use(self, models: Models) -> None:
        """Let runs from now on choose among these models."""
        self._models = models

    async def close(self) -> None:
        """Write what is left; call it after the kernels have ended."""
        await self._live.close()
        for task in self._caught_up.values():
            task.cancel()

    @property
    def kernels(self) -> int:
        """How many kernels of ours there are."""
        return self._kernels.own

    @property
    def working(self) -> int:
        """How many runs go on."""
        return self._live.working

    def _for_engine(self, held: Held, told: dict[str, Any]) -> dict[str, Any]:
        """What was given, by the engine's names, models by those a kernel of ours knows them by."""
        given = {OPTIONS.get(name, name): value for name, value in told.items() if value is not None}
        for option in ("lm", "sub_lm"):
            if option in given and self._kernels.is_own(held):
                name = self._models.in_kernel(given[option])
                if name is None:
                    there_are = ", ".join(self._models.known) or "none but the stand-in, fleet/offline"
                    raise ModelUnavailable(f"this server has no model {given[option]!r}; there are: {there_are}")
                given[option] = name
        return given

    async def _begun(self, entry: Entry, held: Held, verb: str, **args: Any) -> Started:
        told = await _answer(held, verb, session=held.session, **args)
        run, following = told["run"], told["next"]
        late = self._live.get(run)
        if late is not None and late.feed.is_over and late.feed.next <= following:
            await self._live.leave(run)  # the end from before the resume, told once more while the kernel was asked
        live = self._live.get(run) or self._live.begin(held, run, following)
        self._door.follow(entry, live, metered=self._kernels.is_own(held))
        return Started(run=run, session=held.session, next=following)

    async def _past(self, identity: Identity, run: str, since: int) -> AsyncGenerator[Batch]:
        """The events that there are from `since` on."""
        live = await self._owned(identity, run)
        owner = Owner.of(identity)
        home = live.held.home if live is not None else owner.home(self._base)
        history = History(run, home / "runs" / run, await self._scope(identity))
        try:
            while True:
                batch = live.feed.since(since) if live is not None else None
                if batch is None:
                    batch = await history.read(since, MOST)
                if not batch.lines:
                    if live is not None and since < live.feed.first:
                        raise Unavailable(f"events {since} to {live.feed.first - 1} of run {run} cannot be read now")
                    return
                yield batch
                since = batch.next
        finally:
            history.close()

    async def _owned(self, identity: Identity, run: str) -> Live | None:
        live = self._live.owned(run, Owner.of(identity))
        if live is None:
            await self._row(identity, run)
        return live

    async def _row(self, identity: Identity, run: str) -> Row:
        from fleet_rlm.sessions.store import NotFound as NoSuchRow

        live = self._live.owned(run, Owner.of(identity))
        if live is not None:
            await asyncio.shield(live.recorder.begun)
        try:
            return await (await self._scope(identity)).runs.aget(run)
        except NoSuchRow:
            raise NotFound("run", run) from None

    async def _session_id(self, identity: Identity, session: str) -> str:
        from fleet_rlm.sessions.store import NotFound as NoSuchRow

        try:
            return (await (await self._scope(identity)).sessions.aget(session)).id
        except NoSuchRow:
            raise NotFound("session", session) from None

    async def _session_of(self, identity: Identity, run: str) -> tuple[Row, Held]:
        row = await self._row(identity, run)
        live = self._live.get(run)
        if live is not None and not live.feed.is_over:
            raise Conflict(f"run {run} is still going on")
        if row.session_id is None:
            raise Refused(f"run {run} belongs to no session; go on with it where it was started")
        return row, await self._kernels.open(Owner.of(identity), row.session_id)

    async def _working(self, identity: Identity, run: str, verb: str, **args: Any) -> None:
        live = await self._owned(identity, run)
        if live is None or live.feed.is_over:
            raise Conflict(f"run {run} is not going on")
        await _answer(live.held, verb, run=run, **args)

    async def _scope(self, identity: Identity) -> Scope:
        owner = Owner.of(identity)
        await asyncio.shield(self._catch_up(owner))
        return self._open_store().scoped(owner.account())

    def _catch_up(self, owner: Owner) -> asyncio.Task[None]:
        """Read into the store, once, what kernels wrote while no server looked."""
        if owner not in self._caught_up:
            self._caught_up[owner] = asyncio.create_task(self._read_in(owner))
        return self._caught_up[owner]

    async def _read_in(self, owner: Owner) -> None:
        from fleet_rlm.sessions.store import StoreError, acatch_up

        try:
            caught = await acatch_up(self._open_store().scoped(owner.account()), owner.home(self._base))
        except StoreError as fault:  # whoever needs the store is told so by the store
            logger.warning("what earlier kernels wrote is not in the store: %s", fault)
            self._caught_up.pop(owner, None)
            return
        for run, why in caught.left.items():
            logger.info("run %s is left as it is: %s", run, why)


async def _answer(held: Held, verb: str, **args: Any) -> Any:
    try:
        return await held.link.ask(verb, **args)
    except TimeoutError:
        raise Unavailable(f"the kernel of session {held.name!r} does not answer; stop its runs, or close it") from None
