"""Client: `AsyncClient` for scripts and notebooks; each verb blocks, and an interrupt ends it."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from fleet_rlm.client.asynchronous import AsyncClient, AsyncRuns, AsyncSessions
from fleet_rlm.client.connection import TIMEOUT_S
from fleet_rlm.client.files import AsyncArtifacts, AsyncVolumes
from fleet_rlm.client.runtime import AsyncRuntime
from fleet_rlm.core.events import Event
from fleet_rlm.core.loop import run_sync

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class _Blocking(Generic[A]):
    """The blocking face of something with coroutines."""

    def __init__(self, coroutines: A) -> None:
        self._coroutines = coroutines


def _blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Blocking[A], P], T]:
    @functools.wraps(method)
    def waits(self: _Blocking[A], *args: P.args, **kwargs: P.kwargs) -> T:
        return run_sync(method(self._coroutines, *args, **kwargs))

    return cast("Callable[Concatenate[_Blocking[A], P], T]", waits)


class Runs(_Blocking[AsyncRuns]):
    """As `AsyncRuns`."""

    start = _blocking(AsyncRuns.start)
    get = _blocking(AsyncRuns.get)
    list = _blocking(AsyncRuns.list)
    spans = _blocking(AsyncRuns.spans)
    log = _blocking(AsyncRuns.log)
    wait = _blocking(AsyncRuns.wait)
    stop = _blocking(AsyncRuns.stop)
    approve = _blocking(AsyncRuns.approve)
    resume = _blocking(AsyncRuns.resume)
    branch = _blocking(AsyncRuns.branch)
    feedback = _blocking(AsyncRuns.feedback)

    def events(self, run: str, since: int = 0) -> Generator[Event]:
        """As `AsyncRuns.events`."""
        return _each(self._coroutines.events(run, since))


class Sessions(_Blocking[AsyncSessions]):
    """As `AsyncSessions`."""

    list = _blocking(AsyncSessions.list)
    get = _blocking(AsyncSessions.get)
    patch = _blocking(AsyncSessions.patch)
    archive = _blocking(AsyncSessions.archive)
    delete = _blocking(AsyncSessions.delete)
    restore = _blocking(AsyncSessions.restore)
    turns = _blocking(AsyncSessions.turns)
    stats = _blocking(AsyncSessions.stats)
    state = _blocking(AsyncSessions.state)
    export = _blocking(AsyncSessions.export)
    memory = _blocking(AsyncSessions.memory)
    edit_memory = _blocking(AsyncSessions.edit_memory)
    memory_items = _blocking(AsyncSessions.memory_items)

    def events(self, session: str) -> Generator[Event]:
        """As `AsyncSessions.events`."""
        return _each(self._coroutines.events(session))


class Artifacts(_Blocking[AsyncArtifacts]):
    """As `AsyncArtifacts`."""

    list = _blocking(AsyncArtifacts.list)
    download = _blocking(AsyncArtifacts.download)


class Volumes(_Blocking[AsyncVolumes]):
    """As `AsyncVolumes`."""

    list = _blocking(AsyncVolumes.list)
    tree = _blocking(AsyncVolumes.tree)
    preview = _blocking(AsyncVolumes.preview)
    upload = _blocking(AsyncVolumes.upload)
    download = _blocking(AsyncVolumes.download)
    delete = _blocking(AsyncVolumes.delete)


class Runtime(_Blocking[AsyncRuntime]):
    """As `AsyncRuntime`."""

    status = _blocking(AsyncRuntime.status)
    settings = _blocking(AsyncRuntime.settings)
    change = _blocking(AsyncRuntime.change)
    test_model = _blocking(AsyncRuntime.test_model)
    test_sandbox = _blocking(AsyncRuntime.test_sandbox)
    audit = _blocking(AsyncRuntime.audit)


class Client(_Blocking[AsyncClient]):
    """As `AsyncClient`, with the same arguments."""

    def __init__(
        self,
        address: str,
        token: str | None = None,
        *,
        bearer: bool = False,
        headers: dict[str, str] | None = None,
        timeout: float = TIMEOUT_S,
        ca: str | Path | None = None,
    ) -> None:
        super().__init__(AsyncClient(address, token, bearer=bearer, headers=headers, timeout=timeout, ca=ca))
        self.runs = Runs(self._coroutines.runs)
        self.sessions = Sessions(self._coroutines.sessions)
        self.artifacts = Artifacts(self._coroutines.artifacts)
        self.volumes = Volumes(self._coroutines.volumes)
        self.runtime = Runtime(self._coroutines.runtime)

    health = _blocking(AsyncClient.health)
    ready = _blocking(AsyncClient.ready)
    me = _blocking(AsyncClient.me)
    close = _blocking(AsyncClient.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _each(events: AsyncGenerator[Event]) -> Generator[Event]:
    try:
        while (event := run_sync(_next(events))) is not None:
            yield event
    finally:
        run_sync(events.aclose())


async def _next(events: AsyncGenerator[Event]) -> Event | None:
    return await anext(events, None)
