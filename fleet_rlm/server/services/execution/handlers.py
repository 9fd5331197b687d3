"""The sockets. What a client says is read at once, whatever goes on: each thing it asks is a task of its own.

Runs do not end with the connection they were begun on; whoever comes back watches them from where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from fleet_rlm.server import metrics
from fleet_rlm.server.asked import SIGN_IN, arguments
from fleet_rlm.server.auth.authorizer import authorized
from fleet_rlm.server.auth.credentials import TICKET
from fleet_rlm.server.auth.guard import FleetSocket
from fleet_rlm.server.auth.refusals import TooManySockets
from fleet_rlm.server.auth.refused import RefusedRequest
from fleet_rlm.server.base import HOUSE, told
from fleet_rlm.server.faults import faults
from fleet_rlm.server.services.errors import Conflict, Refused, ServiceError
from fleet_rlm.server.services.execution import messages
from fleet_rlm.server.services.execution.messages import Approve, Cancel, Command, Message, frame
from fleet_rlm.server.services.execution.pump import TRY_AGAIN, Gone, pump, send
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.runs.models import ApproveRun, Id, Name, Started, Strict, TraceMode

if TYPE_CHECKING:
    from fleet_rlm.server.services.runs.reading import Reading
    from fleet_rlm.server.services.runs.service import RunService

T = TypeVar("T")

MESSAGE_BYTES = 512 << 10
TASKS = 32
"""Things one client may have under way."""

TOO_MUCH, BAD_QUERY, NOT_FOUND, FAULT = 1008, 4400, 4404, 1011


class Socket(FleetSocket):
    """A WebSocket with tasks that end with it."""

    def initialize(self) -> None:
        """No task yet."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = False

    @property
    def runs(self) -> RunService:
        """What is done with runs."""
        runs: RunService = self.settings[HOUSE].runs
        return runs

    @property
    def reading(self) -> Reading:
        """What runs tell."""
        reading: Reading = self.settings[HOUSE].reading
        return reading

    @property
    def slow_s(self) -> float:
        """How long the client may take nothing."""
        seconds: float = self.settings[HOUSE].limits.slow_client_s
        return seconds

    @property
    def max_message_size(self) -> int:
        """A larger message closes the connection with 1009."""
        return MESSAGE_BYTES

    def get_compression_options(self) -> dict[str, Any] | None:
        """None: events are small and many, and compressing each costs more than it saves on the way."""
        return None

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open it.

        Raises:
            RefusedRequest: its user has as many open as the server lets one have.
        """
        house = self.settings[HOUSE]
        if house.sockets[Owner.of(self.identity)] >= house.limits.sockets:
            raise RefusedRequest(TooManySockets(house.limits.sockets))
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Somebody listens."""
        super().open(*args, **kwargs)
        self._is_open = True
        self.settings[HOUSE].sockets[Owner.of(self.identity)] += 1
        metrics.SOCKETS.labels(type(self).__name__.lower()).inc()

    def take(self, kind: str) -> None:
        """Count one thing that is asked. Raises TooFast: it is one too many."""
        self.settings[HOUSE].rates.take(Owner.of(self.identity), kind)

    def is_full(self) -> bool:
        """Whether it has as much under way as it may; it is closed then."""
        if len(self._tasks) < TASKS:
            return False
        self.close(TOO_MUCH, "too much at once")
        return True

    def begin(self, work: Coroutine[Any, Any, None], identity: str | None = None) -> None:
        """Do something meanwhile; what goes wrong is told to the client under the id of what it asked."""
        if self.is_full():
            work.close()
            return
        task = asyncio.ensure_future(self._told(work, identity))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _told(self, work: Coroutine[Any, Any, None], identity: str | None) -> None:
        try:
            try:
                await work
            except Gone:
                return
            except Exception as error:  # a fault of ours is told as one, and logged
                known = told(error)
                if known is None:
                    self.log.error("%s failed", self.request.path, exc_info=error)
                _, code, message = known or (500, "internal_error", "something failed here")
                metrics.REFUSALS.labels(code).inc()
                await send(self, frame("error", id=identity, code=code, message=message))
        except Gone:
            return

    def on_close(self) -> None:
        """Nobody listens any more."""
        for task in self._tasks:
            task.cancel()
        if self._is_open:
            self._is_open = False
            self.settings[HOUSE].sockets -= Counter([Owner.of(self.identity)])
            metrics.SOCKETS.labels(type(self).__name__.lower()).dec()
        super().on_close()


_lasting: set[asyncio.Task[Any]] = set()  # a loop keeps only weak references


class Drive(Socket):
    """`/ws/execution`: ask, cancel, command, approve, and be told the events of what was asked here."""

    def initialize(self) -> None:
        """No run yet."""
        super().initialize()
        self._begun: set[str] = set()
        self._starting: set[asyncio.Event] = set()

    @authorized("execute", "fleet.runs")
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open it."""
        await super().get(*args, **kwargs)

    def on_message(self, text: str | bytes) -> None:
        """Something was said; it is done in a task, so that what is said next is heard at once."""
        try:
            said = messages.heard(text)
        except (ValidationError, Refused) as error:
            self.begin(self._misunderstood(text, error))
            return
        match said:
            case Message():
                self._do(self._started(said), lambda started: self._answer(said, started), said.id)
            case Cancel():
                self._do(self._stopped(said), lambda _: send(self, frame("done", id=said.id)), said.id)
            case Command():
                self._do(self._carried_out(said), lambda result: self._result(said, result), said.id)
            case Approve():
                asked = ApproveRun(answer=said.answer, ask=said.ask, note=said.note)
                approved = self.runs.approve(self.identity, said.run, asked)
                self._do(approved, lambda _: send(self, frame("done", id=said.id)), said.id)

    def _do(
        self, asked: Coroutine[Any, Any, T], tell: Callable[[T], Coroutine[Any, Any, None]], identity: str | None
    ) -> None:
        """Do what was asked, to its end, and tell what comes of it as long as the client is there.

        It may leave at once: half of a start would leave a kernel that nobody ends.
        """
        if self.is_full():
            asked.close()
            return
        task = asyncio.ensure_future(asked)
        _lasting.add(task)
        task.add_done_callback(_lasting.discard)

        async def told_then() -> None:
            await tell(await asyncio.shield(task))

        self.begin(told_then(), identity)

    async def _started(self, said: Message) -> Started:
        self.take("execute")
        cancelled = asyncio.Event()
        self._starting.add(cancelled)
        try:
            started = await self.runs.start(self.identity, said.asked())
        finally:
            self._starting.discard(cancelled)
        self._begun.add(started.run)
        if cancelled.is_set():
            await self.runs.stop(self.identity, started.run)
        return started

    async def _answer(self, said: Message, started: Started) -> None:
        try:
            await send(self, messages.accepted(said.id, started))
            await pump(self, self.reading, self.identity, started.run, started.next, said.trace_mode)
        finally:
            self._begun.discard(started.run)

    async def _stopped(self, said: Cancel) -> None:
        if said.run is not None:
            await self.runs.stop(self.identity, said.run)
            return
        for starting in self._starting:
            starting.set()
        for run in list(self._begun):
            with contextlib.suppress(Conflict):  # it ended by itself
                await self.runs.stop(self.identity, run)

    async def _carried_out(self, said: Command) -> Any:
        self.take("execute")
        return await self.runs.command(self.identity, said.session_id, said.command, said.args)

    async def _result(self, said: Command, result: Any) -> None:
        await send(self, frame("command_result", id=said.id, command=said.command, result=result))

    async def _misunderstood(self, text: str | bytes, error: ValidationError | Refused) -> None:
        try:
            given = json.loads(text)
        except (ValueError, RecursionError):
            given = None
        identity, code = None, "invalid_message"
        message = faults(error) if isinstance(error, ValidationError) else str(error)
        if isinstance(given, dict):
            identity = given["id"] if isinstance(given.get("id"), str) and len(given["id"]) <= 64 else None
            claimed = sorted(messages.IDENTITY_FIELDS & given.keys())
            if claimed:
                code = "unsupported_identity_fields"
                message = f"leave out {', '.join(claimed)}: who you are, the connection says"
        await send(self, frame("error", id=identity, code=code, message=message))


class WatchQuery(Strict):
    """What to watch: one run from event `since` on, or every run of a session (by id or name) from now on.

    A session's run that goes on is told from its beginning. With both it begins with that run, and goes on with those
    of the session that begin or are resumed meanwhile and later.
    """

    run: Id | None = None
    session: Name | None = None
    since: Annotated[int, Field(ge=0, le=2**53)] = 0
    trace: TraceMode = "verbose"


class Watch(Socket):
    """`/ws/execution/events`: what was, then what comes, without gap or duplicate across connections."""

    @authorized("read", "fleet.runs")
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open it."""
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Begin to tell."""
        super().open(*args, **kwargs)
        try:
            asked = WatchQuery.model_validate(arguments(self.request.query_arguments, (TICKET, *SIGN_IN)))
        except ValidationError as error:
            self.close(BAD_QUERY, _brief(faults(error)))
            return
        except Refused as refused:
            self.close(BAD_QUERY, _brief(str(refused)))
            return
        if asked.run is None and asked.session is None:
            self.close(BAD_QUERY, "say what to watch: ?run= or ?session=")
        else:
            self.begin(self._watch(asked))

    def on_message(self, text: str | bytes) -> None:
        """Nothing is to be said here."""
        self.close(TOO_MUCH, "this connection only tells; ask on /ws/execution")

    async def _watch(self, asked: WatchQuery) -> None:
        try:
            self.take("read")
            if asked.session is not None:
                await self._watch_session(asked, asked.session)
            elif asked.run is not None:
                await pump(self, self.reading, self.identity, asked.run, asked.since, asked.trace)
        except ServiceError as error:
            self.close({400: BAD_QUERY, 404: NOT_FOUND, 429: TRY_AGAIN}.get(error.status, FAULT), _brief(str(error)))
            raise Gone from error
        self.close(1000, "the run is over")

    async def _watch_session(self, asked: WatchQuery, session: str) -> None:
        places: dict[str, int] = {}
        async with self.reading.beginning_in(self.identity, session) as starts:
            await send(self, frame("watching", session=session))
            run, first = (asked.run, asked.since) if asked.run is not None else await starts.get()
            while True:
                place = max(first, places.get(run, 0))
                if run not in places or (await self.reading.get(self.identity, run)).next > place:
                    places[run] = await pump(self, self.reading, self.identity, run, place, asked.trace)
                run, first = await starts.get()


def _brief(sentence: str) -> str:
    """As much of it as closing a connection may tell."""
    return sentence.encode()[:120].decode(errors="ignore")


ROUTES: list[tuple[str, type[Any]]] = [
    (r"/fleet/api/v1/ws/execution", Drive),
    (r"/fleet/api/v1/ws/execution/events", Watch),
]
