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
import datetime
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fleet_rlm.core.events import decode
from fleet_rlm.core.tree import SpanNode, Tree
from fleet_rlm.server.services.errors import Conflict, ModelUnavailable, NotFound, Refused, ServiceError, Unavailable
from fleet_rlm.server.services.kernels.service import Held, Kernels
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.page import Page
from fleet_rlm.server.services.runs.feed import Batch, Feed
from fleet_rlm.server.services.runs.history import MOST, History
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
    Usage,
)
from fleet_rlm.server.services.runs.record import Recorder

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.server.services.lm.upstream import Models
    from fleet_rlm.sessions.store import Scope, Store
    from fleet_rlm.sessions.store.tables import Run as Row

KEPT_S = 30.0
"""How long the latest events of a run that is over stay in memory: longer than its kernel tells of it."""

WRITTEN_S = 2.0
"""How long to wait for the last rows of a run that has just ended."""

ENGINE_OPTIONS = {"mode", "model", "sub_model", "budget", "timeout", "depth", "batch_concurrency"}
OPTIONS = {"model": "lm", "sub_model": "sub_lm", "batch_concurrency": "concurrency"}
"""Names in a request that the engine calls otherwise."""

logger = logging.getLogger("fleet_rlm")

Allow = Callable[[str, int | None], object]
Lines = list[bytes]  # `list` is a verb below


@dataclass(eq=False)
class Live:
    """A run that goes on in a kernel, or did a moment ago."""

    held: Held
    feed: Feed
    recorder: Recorder
    is_asking_tail: bool = False


class RunService:
    """The runs of everybody; each verb sees those of the identity it is given.

    Args:
        kernels: where they go on.
        store: gives where they are kept; called when that is first needed.
        base: the server's FLEET_HOME.
        allow: called with a kernel's id and the model calls that the run about to begin there may make.
        models: those a kernel of ours may be told to use.

    Raises (every verb that names a run):
        NotFound: there is no such run for this identity.
        StoreError: the store cannot be used now.
    """

    def __init__(self, kernels: Kernels, store: Callable[[], Store], base: Path, allow: Allow, models: Models) -> None:
        self._kernels = kernels
        self._open_store = store
        self._models = models
        self._watching: dict[tuple[Owner, str], set[asyncio.Queue[tuple[str, int]]]] = {}
        self._base = base
        self._allow = allow
        self._live: dict[str, Live] = {}
        self._caught_up: dict[Owner, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        kernels.listener = self

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
        owner = Owner.of(identity)
        self._catch_up(owner)
        held = await self._kernels.open(owner, asked.session, asked.kernel_id)
        self._allow(held.link.kernel_id, asked.budget)
        told = asked.model_dump(include=ENGINE_OPTIONS)
        return await self._begun(
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
        return _run(await self._row(identity, run), live)

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
        scope = await self._scope(identity)
        mine = [live for live in self._live.values() if live.held.owner == Owner.of(identity)]
        beginning = [live.recorder.begun for live in mine if not live.recorder.begun.done()]
        if beginning:
            await asyncio.wait(beginning, timeout=WRITTEN_S)
        if session is not None:
            session = await self._session_id(identity, session)
        page = await scope.runs.alist(session_id=session, status=status, search=search, limit=limit, offset=offset)
        items = [_run(row, self._live.get(row.id)) for row in page.items]
        return Page(items=items, total=page.total, offset=offset, limit=limit, has_more=page.has_more)

    async def spans(self, identity: Identity, run: str) -> tuple[Span, ...]:
        """All spans of a run in order of start, those that go on too."""
        tree = Tree()
        async for batch in self._past(identity, run, 0):
            await asyncio.to_thread(_apply, tree, batch)
        return tuple(_span(node) for node in tree.spans.values())

    async def events(self, identity: Identity, run: str, since: int = 0) -> AsyncGenerator[Batch]:
        """The events from `since` on: those that were, then those that come, until the run is over."""
        await self._owned(identity, run)
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
                if place == before and run not in self._live:
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

    async def written(self, identity: Identity, run: str, since: int = 0) -> AsyncGenerator[Batch]:
        """The events that there are from `since` on, without waiting for more."""
        async with aclosing(self._past(identity, run, since)) as past:
            async for batch in past:
                yield batch

    async def stop(self, identity: Identity, run: str) -> None:
        """Ask a run to end now; its last events follow. Raises Conflict: it is not going on."""
        await self._working(identity, run, "stop")

    async def resume(self, identity: Identity, run: str, asked: ResumeRun) -> Started:
        """Go on with a run that has no answer, in its session. Raises as `start`, and Conflict: it has its answer."""
        row, held = await self._session_of(identity, run)
        if row.status == "ok":
            raise Conflict("the run has its answer; branch it to try something else from any point of it")
        self._allow(held.link.kernel_id, asked.budget)
        live = self._live.pop(run, None)
        if live is not None:
            await live.recorder.finished()
        return await self._begun(held, "resume", run=run, changes=self._for_engine(held, asked.model_dump()))

    async def branch(self, identity: Identity, run: str, asked: BranchRun) -> Started:
        """Another run from one of its spans on. Raises as `start`."""
        _, held = await self._session_of(identity, run)
        self._allow(held.link.kernel_id, asked.budget)
        changes = self._for_engine(held, asked.model_dump(exclude={"span"}))
        return await self._begun(held, "branch", run=run, span=asked.span, changes=changes)

    async def approve(self, identity: Identity, run: str, asked: ApproveRun) -> None:
        """Answer what a run asks. Raises Conflict: it asks nothing."""
        await self._working(identity, run, "approve", answer=asked.answer, ask=asked.ask)

    async def begun_in(self, identity: Identity, session: str) -> AsyncGenerator[tuple[str, int]]:
        """Runs of a session as they begin, and the number of the first event to come of each, first the one going on.

        Never ends by itself. Raises NotFound: there is no such session for this identity.
        """
        owner = Owner.of(identity)
        held = self._kernels.find(owner, session)
        key = owner, held.session if held is not None else await self._session_id(identity, session)
        starts: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._watching.setdefault(key, set()).add(starts)
        try:
            for live in self._live.values():
                if (live.held.owner, live.held.session) == key and not live.feed.is_over:
                    starts.put_nowait((live.feed.run, 0))
            while True:
                yield await starts.get()
        finally:
            self._watching[key].discard(starts)
            if not self._watching[key]:
                del self._watching[key]

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
        """The store as that user sees it, with what earlier kernels wrote read in."""
        return await self._scope(identity)

    def use(self, models: Models) -> None:
        """Let runs from now on choose among these models."""
        self._models = models

    async def close(self) -> None:
        """Write what is left; call it after the kernels have ended."""
        waiting = [live.recorder.finished() for live in self._live.values()]
        if waiting:
            await asyncio.wait([asyncio.ensure_future(one) for one in waiting], timeout=10)
        for task in (*self._tasks, *self._caught_up.values()):
            task.cancel()

    def on_events(self, held: Held, run: str, first: int, lines: Lines) -> None:
        """Lines of a run arrived from its kernel."""
        live = self._live.get(run) or self._begin(held, run, first)
        if live.held is not held:  # another session of the same kernel
            return
        if not live.feed.take(Batch(run, first, lines)):
            self._later(self._ask_tail(live))
        elif live.feed.is_over:
            self._later(self._finish(live))

    def on_alive(self, held: Held, runs: dict[str, int]) -> None:
        """A kernel tells what goes on in it: what was missed is asked for."""
        for run, following in runs.items():
            live = self._live.get(run)
            if live is not None and live.held is held and live.feed.next < following:
                self._later(self._ask_tail(live))

    def on_gone(self, held: Held) -> None:
        """A kernel has ended: what it wrote and did not send is read from its files, then the run is cut."""
        for live in list(self._live.values()):
            if live.held is held and not live.feed.is_over:
                self._later(self._cut(live))

    def is_working(self, held: Held) -> bool:
        """Whether a run goes on in a session."""
        return any(live.held is held and not live.feed.is_over for live in self._live.values())

    @property
    def kernels(self) -> int:
        """How many kernels of ours there are."""
        return self._kernels.own

    @property
    def working(self) -> int:
        """How many runs go on."""
        return sum(not live.feed.is_over for live in self._live.values())

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

    def _begin(self, held: Held, run: str, first: int) -> Live:
        feed = Feed(run, first)
        scope = self._open_store().scoped(held.owner.account())
        history = History(run, held.home / "runs" / run, scope)
        live = self._live[run] = Live(held, feed, Recorder(feed, history, scope, held.session, held.name))
        for watching in self._watching.get((held.owner, held.session), ()):
            watching.put_nowait((run, first))
        return live

    async def _begun(self, held: Held, verb: str, **args: Any) -> Started:
        told = await _answer(held, verb, session=held.session, **args)
        run, following = told["run"], told["next"]
        if run not in self._live:
            self._begin(held, run, following)
        return Started(run=run, session=held.session, next=following)

    async def _ask_tail(self, live: Live) -> None:
        if live.is_asking_tail:
            return
        live.is_asking_tail = True
        try:
            await live.held.link.ask("tail", run=live.feed.run, since=live.feed.next)
        except (ServiceError, TimeoutError) as fault:  # that its kernel has ended is told by `on_gone`
            logger.warning("events of run %s from %d on are missing: %s", live.feed.run, live.feed.next, fault)
        finally:
            live.is_asking_tail = False

    async def _cut(self, live: Live) -> None:
        history = History(
            live.feed.run, live.held.home / "runs" / live.feed.run, self._open_store().scoped(live.held.owner.account())
        )
        try:
            while (batch := await history.read(live.feed.next)).lines:
                live.feed.take(batch)
        finally:
            history.close()
            live.feed.cut()
        await self._finish(live)

    async def _finish(self, live: Live) -> None:
        """Forget a run that is over, once it is written and nobody is likely to ask."""
        await live.recorder.finished()
        await asyncio.sleep(KEPT_S)
        if live.feed.is_over and self._live.get(live.feed.run) is live:
            del self._live[live.feed.run]

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
        live = self._live.get(run)
        if live is not None and live.held.owner == Owner.of(identity):
            return live
        await self._row(identity, run)
        return None

    async def _row(self, identity: Identity, run: str) -> Row:
        from fleet_rlm.sessions.store import NotFound as NoSuchRow

        live = self._live.get(run)
        if live is not None and live.held.owner == Owner.of(identity):
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

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _answer(held: Held, verb: str, **args: Any) -> Any:
    try:
        return await held.link.ask(verb, **args)
    except TimeoutError:
        raise Unavailable(f"the kernel of session {held.name!r} does not answer; stop its runs, or close it") from None


def _apply(tree: Tree, batch: Batch) -> None:
    for line in batch.lines:
        tree.apply(decode(line))


def _run(row: Row, live: Live | None) -> Run:
    usage = Usage(**{name: getattr(row, name) for name in Usage.model_fields})
    status = row.status
    following = row.last_seq + 1
    if live is not None:
        following = max(following, live.feed.next)
        if not live.feed.is_over:
            status = "running"
        elif live.feed.is_cut:
            status = "cut"
    plain = ("id", "parent_run", "task", "mode", "model", "sub_model", "offline", "answer", "error_type", "error")
    shown = {name: getattr(row, name) for name in plain}
    end = live.feed.end if live is not None else None
    if end is not None and status == "running":  # the row lags, or the store is away
        status = end.status
        shown |= {"answer": end.answer, "error_type": end.error_type, "error": end.error}
    return Run(
        **shown,
        session=row.session_id,
        status=status,  # type: ignore[arg-type]
        usage=usage,
        started_at=row.started_at,
        ended_at=row.ended_at,
        next=following,
    )


def _span(node: SpanNode) -> Span:
    plain = ("id", "parent", "type", "name", "depth", "status", "input", "code", "output", "error_type", "error")
    return Span(
        **{name: getattr(node, name) for name in plain},
        started_at=_moment(node.start),
        ended_at=None if node.end is None else _moment(node.end),
        usage=None if node.usage is None else Usage(**msgspec.to_builtins(node.usage)),
        attrs=node.attrs,
    )


def _moment(microseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(microseconds / 1e6, datetime.UTC)
