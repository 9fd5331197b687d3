"""Reads into the store what runs on disk have and the store has not.

A run whose process died, or that ended while the database was away, is whole in its own log under FLEET_HOME. Each log
is read while its lock is held, so a run that is still going on is left to its own writer. A run without an end becomes
"cut": it can be resumed.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import UserError
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import run_sync
from fleet_rlm.core.spool import Spool
from fleet_rlm.sessions.store.errors import NotFound
from fleet_rlm.sessions.store.identity import LOCAL
from fleet_rlm.sessions.store.store import Scope
from fleet_rlm.sessions.store.verbs.base import verb
from fleet_rlm.sessions.store.writer import MOST, OWNER, Ownership

_TAIL = 65_536


@dataclass(frozen=True)
class Caught:
    """What was done.

    Attributes:
        runs: how many events were added, by run.
        left: why a run was left as it is, by run.
    """

    runs: dict[str, int] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


async def acatch_up(scope: Scope, home: Path) -> Caught:
    """Bring the store up to date with the logs of this identity in `home`/runs.

    Raises:
        StoreError: the store cannot be used.
    """
    return await _CatchingUp(scope, home).afinish()


def catch_up(scope: Scope, home: Path) -> Caught:
    """`acatch_up`, blocking."""
    return run_sync(acatch_up(scope, home))


class _CatchingUp:
    def __init__(self, scope: Scope, home: Path) -> None:
        self._scope = scope
        self._home = home
        self._caught = Caught()

    @verb
    async def afinish(self) -> Caught:
        known = await self._scope.runs.aprogress()
        for directory, owner in await asyncio.to_thread(self._mine):
            run = directory.name
            last = await asyncio.to_thread(_last_seq, directory / "events.jsonl")
            if last is not None and known.get(run) == last:
                continue
            try:
                added = await self._read_in(directory, owner.session)
            except (UserError, ValueError, OSError) as error:
                self._caught.left[run] = str(error)
            else:
                self._caught.runs[run] = added
        return self._caught

    def _mine(self) -> list[tuple[Path, Ownership]]:
        """The logs of this identity, oldest first; one that says nothing is the local user's."""
        mine = []
        for log in sorted((self._home / "runs").glob("*/events.jsonl")):
            try:
                owner = msgspec.json.decode((log.parent / OWNER).read_bytes(), type=Ownership)
            except FileNotFoundError:
                owner = Ownership(LOCAL.tenant, LOCAL.user)
            except (OSError, msgspec.DecodeError) as error:
                self._caught.left[log.parent.name] = f"whose run it is cannot be read: {error}"
                continue
            if (owner.tenant, owner.user) == (self._scope.identity.tenant, self._scope.identity.user):
                mine.append((log.parent, owner))
        return mine

    async def _read_in(self, directory: Path, session: str | None) -> int:
        path = directory / "events.jsonl"
        lock = Spool(path)
        try:
            log = await asyncio.to_thread(_read, path)
            first = log.events_since(0)[0]
            if not isinstance(first, ev.RunStart):
                raise ValueError("the log does not begin with run.start")
            runs = self._scope.runs
            try:
                run = await runs.abegin(first, session_id=session)
            except NotFound:  # the session was deleted, or is not in this database: the run is kept all the same
                run = await runs.abegin(first)
            lease = await runs.alease(run.id, f"catch-up:{os.getpid()}", takeover=True)
            missing = log.events_since(run.last_seq + 1)
            for start in range(0, len(missing), MOST):
                await self._scope.events.aappend(lease, missing[start : start + MOST])
            await runs.arelease(lease, cut=True)
            return len(missing)
        finally:
            lock.close()


def _read(path: Path) -> RunLog:
    with open(path, "rb") as lines:
        return RunLog.read(iter(lines))


def _last_seq(path: Path) -> int | None:
    """The number of the last whole event of a log, without reading the rest; None where that is not to be had."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().split(b"\n")[:-1]
        return ev.decode(lines[-1]).seq
    except (OSError, IndexError, ValueError):  # msgspec's errors are ValueErrors
        return None
