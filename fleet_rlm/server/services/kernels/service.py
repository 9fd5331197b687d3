"""Kernels: one for each session that is being worked with, started when it is first asked, ended when it is idle.

What a kernel of ours sees of the server's environment is clean, and its model is the gateway's. A notebook's kernel is
attached to only where somebody names it, is never ended from here, and keeps the environment it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

from jupyter_core.utils import ensure_async

from fleet_rlm.server.services import errors
from fleet_rlm.server.services.kernels.collecting import Collector
from fleet_rlm.server.services.kernels.environment import clean_environment
from fleet_rlm.server.services.kernels.link import Link
from fleet_rlm.server.services.kernels.places import Places, Take
from fleet_rlm.server.services.owner import Owner

HEARTBEAT_S = 2.0
SETTLE_S = 30
"""How long a restart from outside may take."""

CLOSE_S = 12
"""A session takes up to ten seconds to stop its turn and save."""

logger = logging.getLogger("fleet_rlm")


@dataclass(eq=False)
class Held:
    """A session that is open in a kernel.

    Attributes:
        session, name: its id and how its user calls it.
        home: FLEET_HOME of the kernel, where its runs write their logs.
        is_beginning: the kernel was asked to begin a run there, and has not answered yet.
    """

    owner: Owner
    link: Link
    session: str
    name: str
    home: Path
    used_at: float = field(default_factory=time.monotonic)
    is_beginning: bool = False


class Listener(Protocol):
    """Who wants to know what kernels tell."""

    def on_events(self, held: Held, run: str, first: int, lines: list[bytes]) -> None:
        """Lines of a run's log."""

    def on_alive(self, held: Held, runs: dict[str, int]) -> None:
        """The runs that go on, and the number of each one's next event."""

    def on_gone(self, held: Held) -> None:
        """The kernel has ended, and with it whatever went on in it."""

    def is_working(self, held: Held) -> bool:
        """Whether a run goes on there."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How many kernels there may be and how long.

    Attributes:
        kernel_name: the kernelspec of kernels of our own.
        most, most_of_one: how many of our own at once, in all and of one user.
        idle_s: how long one is kept after its last question; 0 keeps it.
        closed: what agents in them do not read, wherever it lies; the server's home is closed in any case.
    """

    kernel_name: str = "python3"
    most: int = 64
    most_of_one: int = 32
    idle_s: float = 1800.0
    closed: tuple[Path, ...] = ()


class Kernels:
    """The kernels in which sessions are open.

    Args:
        manager: the Jupyter server's kernel manager.
        base: the server's FLEET_HOME.
        environ: the server's environment.
        model_for: the variables by which a kernel finds its model, given its id and owner.
        forget: called with the id of a kernel of ours that has ended.
        place_for: gives an owner's session the place that its sandbox takes.
    """

    def __init__(
        self,
        manager: Any,
        *,
        base: Path,
        environ: Mapping[str, str],
        rules: Rules,
        model_for: Callable[[str, Owner], dict[str, str]],
        forget: Callable[[str], object],
        place_for: Take,
    ) -> None:
        self._manager = manager
        self._base = base
        self._environ = environ
        self._rules = rules
        self._model_for = model_for
        self._forget = forget
        self._places = Places(place_for)
        self._links: dict[str, tuple[Owner, Link]] = {}
        self._collector = Collector()
        self._own: dict[str, Owner] = {}
        self._held: list[Held] = []
        self._opening: WeakValueDictionary[tuple[Owner, str], asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idling: asyncio.Task[None] | None = None
        self.listener: Listener

    @property
    def own(self) -> int:
        """How many kernels of ours there are."""
        return len(self._own)

    def is_own(self, held: Held) -> bool:
        """Whether the session is in a kernel of ours, which has our models and no keys."""
        return held.link.kernel_id in self._own

    def find(self, owner: Owner, session: str) -> Held | None:
        """The session, by id or name, if it is open in a kernel."""
        mine = [one for one in self._held if one.owner == owner]
        by_id = (one for one in mine if one.session == session)
        return next(by_id, None) or next((one for one in mine if one.name == session), None)

    def all_of(self, owner: Owner) -> list[Held]:
        """Their sessions that are open in kernels."""
        return [held for held in self._held if held.owner == owner]

    def home_of(self, owner: Owner, session: str) -> Path:
        """Where a session is saved: a notebook's kernel may have another home than the server's."""
        held = self.find(owner, session)
        return held.home if held is not None else owner.home(self._base)

    async def open(self, owner: Owner, session: str, kernel_id: str | None = None, *, with_place: bool = True) -> Held:
        """The session in a kernel: where it is open already, else in the one named, else in one of its own.

        Args:
            with_place: a run is about to begin there, which may start a sandbox.

        Raises:
            QuotaReached: there is no place for another sandbox.
            Conflict: it is open in another kernel than the one named.
            InUse: it is open in a kernel this server has nothing to do with.
            NotFound, Refused, Busy: there is no such kernel, it cannot do it, or is executing something else.
            KernelDied, TooMany: a kernel of its own would not start, or there are too many.
        """
        async with self._opening.setdefault((owner, session), asyncio.Lock()):
            held = self.find(owner, session)
            if held is not None and not await held.link.look():  # it may have died a moment ago
                held = None
            if held is not None and kernel_id not in (None, held.link.kernel_id):
                raise errors.Conflict(f"session {held.name!r} is open in kernel {held.link.kernel_id}; close it there")
            if with_place and (held is None or not self._places.holds(held.link.kernel_id, held.session)):
                async with self._places.taken(owner) as place:
                    held = held or await self._opened(owner, session, kernel_id)
                    if not held.link.is_open:
                        raise errors.KernelDied(f"kernel {held.link.kernel_id} has ended; ask again")
                    self._places.keep(held.link.kernel_id, held.session, place)
            held = held or await self._opened(owner, session, kernel_id)
            held.used_at = time.monotonic()
            return held

    async def close_session(self, held: Held) -> None:
        """End the work with a session; its kernel too, if it is ours and no other session is open there."""
        self._drop(held)
        kernel_id = held.link.kernel_id
        if kernel_id in self._own and not self._in(kernel_id):
            await self._end(kernel_id)
            return
        with contextlib.suppress(errors.ServiceError, TimeoutError):  # then it lasts as long as the kernel
            await held.link.ask("close", timeout=CLOSE_S, session=held.session)
            self._places.give_back(kernel_id, held.session)

    async def close(self) -> None:
        """Let every kernel save what it has, and end those that are ours."""
        if self._idling is not None:
            self._idling.cancel()
        await asyncio.gather(*(self._end(kernel_id) for kernel_id in list(self._own)))
        for _, link in list(self._links.values()):
            link.close()
        self._links.clear()
        self._held.clear()
        self._places.close()

    async def _opened(self, owner: Owner, session: str, kernel_id: str | None) -> Held:
        link = await self._attached(owner, kernel_id) if kernel_id is not None else await self._started(owner)
        try:
            told = await link.ask("open", session=session, owner=owner.told())
        except TimeoutError:
            raise errors.Unavailable(f"session {session!r} could not be opened in time; try again") from None
        except errors.ServiceError:
            if link.kernel_id in self._own:
                self._later(self._end(link.kernel_id))
            raise
        held = Held(owner, link, told["id"], told["name"], Path(told["home"]))
        self._held.append(held)
        for notice in told["notices"]:
            logger.info("session %s: %s", held.session, notice)
        return held

    async def _started(self, owner: Owner) -> Link:
        if len(self._own) >= self._rules.most or list(self._own.values()).count(owner) >= self._rules.most_of_one:
            raise errors.TooMany("there are as many kernels as this server allows; close a session that is not needed")
        kernel_id = str(uuid.uuid4())
        self._own[kernel_id] = owner
        home = owner.home(self._base)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        closed = os.pathsep.join([self._environ.get("FLEET_CLOSED", ""), *map(str, (self._base, *self._rules.closed))])
        places = {"FLEET_HOME": str(home), "FLEET_CLOSED": closed}
        environment = clean_environment(self._environ) | self._model_for(kernel_id, owner) | places
        try:
            await ensure_async(
                self._manager.start_kernel(
                    kernel_id=kernel_id,
                    kernel_name=self._rules.kernel_name,
                    env=environment,
                    path="",
                    extra_arguments=["--HistoryManager.enabled=False"],  # one file for all, in the server's own home
                )
            )
            link = await self._linked(owner, kernel_id)
        except BaseException as fault:
            self._later(self._end(kernel_id))
            if isinstance(fault, (errors.ServiceError, asyncio.CancelledError)):
                raise
            raise errors.KernelDied(f"a kernel for the session would not start: {fault}") from fault
        if self._idling is None and self._rules.idle_s:
            self._idling = asyncio.create_task(self._end_idle())
        return link

    async def _attached(self, owner: Owner, kernel_id: str) -> Link:
        known = self._links.get(kernel_id)
        if known is not None and known[0] == owner and known[1].is_open:
            return known[1]
        if known is not None or kernel_id not in self._manager:
            raise errors.NotFound("kernel", kernel_id)
        return await self._linked(owner, kernel_id)

    async def _linked(self, owner: Owner, kernel_id: str) -> Link:
        kernel = self._manager.get_kernel(kernel_id)
        idle = getattr(self._manager, "cull_idle_timeout", 0)
        link = Link(
            kernel_id,
            kernel,
            self._collector,
            on_events=lambda *told: self._told_events(kernel_id, *told),
            on_alive=lambda runs: self._told_alive(kernel_id, runs),
            on_gone=lambda: self._gone(kernel_id),
        )
        self._links[kernel_id] = owner, link
        try:
            await link.connect(min(HEARTBEAT_S, idle / 3) if idle > 0 else HEARTBEAT_S)
        except BaseException:
            self._links.pop(kernel_id, None)
            raise
        return link

    def _told_events(self, kernel_id: str, session: str, run: str, first: int, lines: list[bytes]) -> None:
        for held in self._in(kernel_id):
            if held.session == session:
                self.listener.on_events(held, run, first, lines)

    def _told_alive(self, kernel_id: str, runs: dict[str, int]) -> None:
        for held in self._in(kernel_id):
            self.listener.on_alive(held, runs)

    def _in(self, kernel_id: str) -> list[Held]:
        return [held for held in self._held if held.link.kernel_id == kernel_id]

    def _gone(self, kernel_id: str) -> None:
        logger.warning("kernel %s has ended or was restarted; what went on in it can be resumed", kernel_id)
        self._links.pop(kernel_id, None)
        self._places.give_back(kernel_id)
        for held in self._in(kernel_id):
            self._drop(held)
        if kernel_id in self._own:  # before the server's restarter makes one of it that nobody needs
            self._later(self._end(kernel_id))

    def _drop(self, held: Held) -> None:
        if held in self._held:
            self._held.remove(held)
            self.listener.on_gone(held)

    async def _end(self, kernel_id: str) -> None:
        """End a kernel of ours, after it has saved what it has."""
        _, link = self._links.pop(kernel_id, (None, None))
        if link is not None and link.is_open:
            with contextlib.suppress(errors.ServiceError, TimeoutError):
                await link.ask("close", timeout=CLOSE_S)
            link.close()
        for held in self._in(kernel_id):
            self._drop(held)
        try:
            await self._settled(kernel_id)
            if kernel_id in self._manager:
                await ensure_async(self._manager.shutdown_kernel(kernel_id, now=True))
        except Exception as fault:  # it is gone all the same, or the server ends it when it ends
            logger.warning("kernel %s would not end: %s", kernel_id, fault)
        finally:
            self._own.pop(kernel_id, None)
            self._places.give_back(kernel_id)
            self._forget(kernel_id)

    async def _settled(self, kernel_id: str) -> None:
        """Wait until nobody else is restarting or ending a kernel: it would be started again after its end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while kernel_id in self._manager:
                    kernel = self._manager.get_kernel(kernel_id)
                    if kernel.ready.done() and not kernel.shutting_down:
                        break
                    await asyncio.sleep(0.05)  # nothing tells when it is over

    async def _end_idle(self) -> None:
        while True:
            await asyncio.sleep(min(60.0, self._rules.idle_s / 2))
            for held in list(self._held):
                idle = time.monotonic() - held.used_at > self._rules.idle_s
                if self.listener.is_working(held):
                    held.used_at = time.monotonic()
                elif idle and held.link.kernel_id in self._own:
                    await self.close_session(held)

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
