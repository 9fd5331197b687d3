"""The one sandbox of a session: opened at the first turn that needs it, kept for the next, replaced when it is gone.

Variables that code makes in one turn are there in the next. What the user gave and the documents are put again into a
new sandbox; what code had made is lost with the old one, and that is told.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fleet_rlm.agent.conversation import HISTORY, MEMORY
from fleet_rlm.agent.request import Request
from fleet_rlm.agent.work import started
from fleet_rlm.core.events import Note
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.sandbox.base import Sandbox
from fleet_rlm.sandbox.errors import SandboxError
from fleet_rlm.sandbox.files import GrantedDirectory, GrantedFile
from fleet_rlm.sandbox.registry import sandbox_named
from fleet_rlm.sessions.errors import SandboxGone

_MADE = "[name for name in globals() if not name.startswith('_') and type(globals()[name]).__name__ != 'module']"
_SHOWN = 30


class SessionSandbox:
    """Owned by a session, used by one run at a time.

    Args:
        before: what the saved state tells of the sandbox of an earlier process, None if there was none.
    """

    def __init__(self, before: dict[str, Any] | None = None) -> None:
        self._sandbox: Sandbox | None = None
        self._backend = ""
        self._tier = ""
        self._put: dict[str, Any] = {}
        self._own: frozenset[str] = frozenset()
        self._ended: str | None = before.get("ended") if before else None
        self._made: tuple[str, ...] = tuple(before["variables"]) if before else ()
        self._gone = SandboxGone(before.get("ended", "its kernel has ended"), self._made) if before else None

    @property
    def gone(self) -> SandboxGone | None:
        """That an earlier process had one; None once a run was told."""
        return self._gone

    def state(self) -> dict[str, Any] | None:
        """What a manifest tells of it."""
        ended = {"ended": self._ended} if self._ended else {}
        if self._sandbox is None:
            return {"backend": "", "tier": "", "variables": list(self._made), **ended} if self._gone else None
        return {"backend": self._backend, "tier": self._tier, "variables": list(self._made)}

    @asynccontextmanager
    async def opened(self, asked: Request, scope: Scope, fresh: frozenset[str] = frozenset()) -> AsyncIterator[Sandbox]:
        """The sandbox with the request's values in it; `fresh` ones are sent even if it has them."""
        with scope.log.span("sandbox", asked.sandbox) as span:
            await self._leave(asked, scope)
            sandbox = self._sandbox
            span.attrs["kept"] = sandbox is not None
            if sandbox is None:
                sandbox = sandbox_named(asked.sandbox, asked.values.values(), asked.settings.sandbox_tier)
                await sandbox.astart()
                self._sandbox, self._backend, self._put = sandbox, asked.sandbox, {}
                self._tier = sandbox.isolation.tier
                self._own = frozenset(await _names(sandbox))
            scope.log.emit(started(asked.sandbox, sandbox))
            for name, value in asked.values.items():
                if name in fresh or not _same(self._put.get(name), value):
                    await sandbox.aput(name, _unsent(value) if name in fresh else value)
                    self._put[name] = value
        yield sandbox
        await self._look(sandbox)

    async def aclose(self, why: str | None = None) -> None:
        """End it; doing it twice is harmless.

        Args:
            why: what is told to whoever opens the session next.
        """
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None and why is not None:
            self._ended, self._gone = why, SandboxGone(why, self._made)
        if sandbox is not None:
            await sandbox.aclose()

    async def _leave(self, asked: Request, scope: Scope) -> None:
        """Give up a sandbox that is dead or not the one asked for, and say what is lost."""
        gone = self._gone
        if self._sandbox is not None and self._backend != asked.sandbox:
            gone = SandboxGone(f"this turn is to run in {asked.sandbox!r}, not {self._backend!r}", self._made)
        elif self._sandbox is not None:
            try:
                await self._sandbox.aexecute("")
            except SandboxError as error:
                gone = SandboxGone(getattr(error, "reason", str(error)), self._made)
        if gone is not None:
            scope.log.emit(Note(level="warning", text=str(gone)))
            self._gone, self._made, self._ended = None, (), None
            await self.aclose()

    async def _look(self, sandbox: Sandbox) -> None:
        """Note which variables code has made, so that it can be said what is lost when the sandbox is."""
        with contextlib.suppress(SandboxError):  # it died in this turn; the next one tells
            made = set(await _names(sandbox)) - self._own - set(self._put) - set(sandbox.tools) - {HISTORY, MEMORY}
            self._made = tuple(sorted(made))[:_SHOWN]


async def _names(sandbox: Sandbox) -> list[str]:
    found = await sandbox.aexecute(f"_fleet_made = {_MADE}")
    return [str(name) for name in await sandbox.aget("_fleet_made")] if found.error is None else []


def _same(put: Any, value: Any) -> bool:
    """The same object, or the same text of a document, which lies under its hash."""
    if put is value:
        return True
    return type(put) is type(value) and isinstance(put, GrantedFile | GrantedDirectory) and put.path == value.path


def _unsent(value: Any) -> Any:
    """The value as an object no sandbox has seen: the user may have changed it since it was sent."""
    if isinstance(value, str | bytes | GrantedFile | GrantedDirectory):
        return value
    return value.copy(deep=False) if hasattr(value, "iloc") else copy.copy(value)
