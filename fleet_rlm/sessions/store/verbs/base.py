"""How a verb is said: awaited on any event loop, or called and blocking.

Database connections belong to the loop that opened them, so every verb runs on the background loop (`core.loop`),
wherever it was awaited.
"""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.loop import on_background_loop, run_sync, submit
from fleet_rlm.sessions.store.identity import Identity
from fleet_rlm.sessions.store.unit import Unit

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")

MAX_NAME = 200


class Units(Protocol):
    """Who opens transactions for one identity."""

    identity: Identity

    def unit(self, *, writes: bool) -> AbstractAsyncContextManager[Unit]:
        """One transaction; committed if the block ends well."""


class Verbs:
    """The verbs of one kind of thing, for one identity."""

    def __init__(self, units: Units) -> None:
        self._units = units

    @property
    def identity(self) -> Identity:
        """Whose things these are."""
        return self._units.identity

    def _read(self) -> AbstractAsyncContextManager[Unit]:
        return self._units.unit(writes=False)

    def _write(self) -> AbstractAsyncContextManager[Unit]:
        return self._units.unit(writes=True)


def verb(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Let a coroutine be awaited on any loop; it runs on the background one."""

    @functools.wraps(method)
    async def anywhere(self: S, *args: P.args, **kwargs: P.kwargs) -> T:
        if on_background_loop():
            return await method(self, *args, **kwargs)
        return await asyncio.wrap_future(submit(method(self, *args, **kwargs)))

    return cast("Callable[Concatenate[S, P], Coroutine[Any, Any, T]]", anywhere)


def blocking(method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[S, P], T]:
    """The same verb as a plain call."""

    @functools.wraps(method)
    def waits(self: S, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_sync(method(self, *args, **kwargs))

    waits.__name__ = method.__name__.removeprefix("a")
    return cast("Callable[Concatenate[S, P], T]", waits)


def new_id() -> str:
    """An id nobody else has."""
    return uuid.uuid4().hex


def named(kind: str, name: str) -> str:
    """A name that can be stored and shown.

    Raises:
        UserError: it is empty, longer than 200 characters, or holds control characters.
    """
    name = name.strip() if isinstance(name, str) else name
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise UserError(f"a {kind} is named with 1 to {MAX_NAME} printable characters, not {str(name)[:60]!r}")
    return name
