"""Hosting: the sessions this kernel holds open for the server, and what the server may ask of them and their runs.

Every verb takes and returns plain JSON values. Opening, starting and going on block while they read and write files, so
they run on threads; what a run then does goes its own way on the background loop, and its outlet tells of it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.core.errors import UserError
from fleet_rlm.core.run import Run
from fleet_rlm.core.settings import Settings
from fleet_rlm.server.kernel.commands import commanded
from fleet_rlm.server.kernel.outlet import Outlet
from fleet_rlm.server.kernel.station import Conflict
from fleet_rlm.sessions.session import Session

LINGER_S = 10.0
"""How long a run that has ended is still told of: a server that missed its last event finds out."""

OWNER = "owner.json"
"""Beside a run's log: whose it is, for whoever reads logs into the store."""


class Hosting:
    """The sessions and runs of this kernel.

    Args:
        send: sends lines of a run's log to the server, given the session, the run and the number of the first.
        loop: where that is called.
    """

    def __init__(self, send: Callable[[str, str, int, list[bytes]], object], loop: asyncio.AbstractEventLoop) -> None:
        self._send = send
        self._loop = loop
        self._sessions: dict[str, Session] = {}
        self._owners: dict[str, dict[str, str]] = {}
        self._runs: dict[str, Run] = {}
        self._outlets: dict[str, Outlet] = {}
        self._ended: dict[str, float] = {}
        self._opening = asyncio.Lock()
        self._verbs: dict[str, Callable[..., Awaitable[Any]]] = {
            "open": self.open,
            "start": self.start,
            "resume": self.resume,
            "branch": self.branch,
            "stop": self.stop,
            "spend_out": self.spend_out,
            "approve": self.approve,
            "command": self.command,
            "tail": self.tail,
            "close": self.close,
        }

    async def do(self, verb: str, args: dict[str, Any]) -> Any:
        """Carry out one request.

        Raises:
            FleetError: it cannot be done; says why.
        """
        if verb not in self._verbs:
            raise UserError(f"this kernel's fleet-rlm knows no {verb!r}; restart the kernel with the server's version")
        return await self._verbs[verb](**args)

    def alive(self) -> dict[str, int]:
        """The runs that go on or ended a moment ago, with the number of each one's next event."""
        now = time.monotonic()
        for run_id, run in list(self._runs.items()):
            if not run.log.is_closed:
                continue
            if now - self._ended.setdefault(run_id, now) > LINGER_S:
                self._outlets.pop(run_id).close()
                del self._runs[run_id], self._ended[run_id]
        return {run_id: len(run.log) for run_id, run in self._runs.items()}

    async def open(self, session: str, owner: dict[str, str]) -> dict[str, Any]:
        """Open a session by id or name, a new one if there is none; the same again if it is open here."""
        async with self._opening:
            found = next((one for one in self._sessions.values() if session in (one.id, one.name)), None)
            if found is None:
                found = await asyncio.to_thread(Session, session, record=False)
                self._sessions[found.id] = found
                self._owners[found.id] = owner
        return {
            "id": found.id,
            "name": found.name,
            "home": str(Settings.from_environ().home),
            "notices": [str(notice) for notice in found.notices],
        }

    async def start(
        self,
        session: str,
        message: str,
        options: dict[str, Any],
        paths: list[str],
        docs: list[str],
        repo_url: str | None,
        repo_ref: str | None,
    ) -> dict[str, Any]:
        """Start a turn, with documents loaded first and paths as its data."""
        held = self._session(session)
        loader = Loader(held.documents, held.workspace.roots, held.workspace.fetcher, taken=held.values)
        for where in docs:
            if all(where != one.source for one in held.documents):
                await loader.load(where)
        if repo_url is not None:
            await _repository(loader, repo_url, repo_ref or "")
        context = _named_paths(held, paths)
        given = {**options, **({"context": context} if context else {})}
        run = await asyncio.to_thread(held.start, message, **given)
        return self._begun(run, held, 0)

    async def resume(self, session: str, run: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Go on with a turn that has no answer; its events are sent from `next` on."""
        held = self._session(session)
        known = self._runs.get(run)
        before = len(known.log) if known is not None else _lines(Settings.from_environ().home / "runs" / run)
        return self._begun(await asyncio.to_thread(held.resume, run, **changes), held, before)

    async def branch(self, session: str, run: str, span: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Another run from a span on."""
        held = self._session(session)
        return self._begun(await asyncio.to_thread(held.branch, run, span, **changes), held, 0)

    async def stop(self, run: str) -> None:
        """Ask a run to end now."""
        self._run(run).stop()

    async def spend_out(self, run: str, why: str) -> None:
        """Let a run make no model call any more, because what its user may use is used up."""
        self._run(run).spend_out(why)

    async def approve(self, run: str, answer: str, ask: int | None, note: str | None, by: str) -> None:
        """Decide what a run asks."""
        self._run(run).approve(answer, ask=ask, note=note, by=by)

    async def command(self, session: str, command: str, args: dict[str, Any]) -> Any:
        """Carry out one of the session's commands; see `commands`."""
        held = self._session(session)
        result = await commanded(held, command, args)
        await asyncio.to_thread(held.save)
        return result

    async def tail(self, run: str, since: int) -> None:
        """Send a run's events again from `since` on."""
        self._run(run)
        self._outlets[run].resend(since)

    async def close(self, session: str | None = None) -> None:
        """Stop what goes on and close one session by its id, or every session."""
        async with self._opening:
            for one in [session] if session is not None else list(self._sessions):
                if one in self._sessions:
                    await asyncio.to_thread(self._sessions.pop(one).close)

    def _begun(self, run: Run, session: Session, since: int) -> dict[str, Any]:
        if run.id in self._outlets:
            self._outlets[run.id].close()
        self._runs[run.id] = run
        self._ended.pop(run.id, None)
        self._outlets[run.id] = Outlet(run.log, functools.partial(self._send, session.id), self._loop, since)
        if run.log.directory is not None:
            owner = {**self._owners[session.id], "session": session.id}
            (run.log.directory / OWNER).write_text(json.dumps(owner), encoding="utf-8")
        return {"run": run.id, "session": session.id, "next": since}

    def _session(self, session: str) -> Session:
        if session not in self._sessions:
            raise Conflict(f"session {session!r} is not open in this kernel; open it first")
        return self._sessions[session]

    def _run(self, run: str) -> Run:
        if run not in self._runs:
            raise Conflict(f"run {run} is not going on in this kernel")
        return self._runs[run]


async def _repository(loader: Loader, url: str, ref: str) -> None:
    if not any(one.source == url and one.metadata.get("ref", "") == ref for one in loader.documents):
        await loader.load_repository(url, ref)


def _named_paths(session: Session, paths: list[str]) -> dict[str, Path]:
    """The paths by a variable name made of each; those of the server's roots only."""
    named: dict[str, Path] = {}
    for path in paths:
        if session.workspace.roots is None:
            raise UserError("no files of this machine may be read here; give a URL among docs")
        found = session.workspace.roots.resolve(path)
        stem = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in found.stem.lower()).strip("_")
        stem = stem if stem[:1].isalpha() else f"path_{stem}"
        name, number = stem, 2
        while name in named:
            name, number = f"{stem}_{number}", number + 1
        named[name] = found
    return named


def _lines(directory: Path) -> int:
    """How many whole lines the log of a run has, each of them one event."""
    try:
        return (directory / "events.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0
