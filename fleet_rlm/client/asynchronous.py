"""AsyncClient: everything a server can be asked, as coroutines. A session is named by its id or its name."""

from __future__ import annotations

import datetime
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from fleet_rlm.client.connection import TIMEOUT_S, Connection, Resource, part
from fleet_rlm.client.files import AsyncArtifacts, AsyncVolumes
from fleet_rlm.client.records import (
    CoreMemory,
    Feedback,
    Health,
    Me,
    MemoryItem,
    OpenSession,
    OpenSessions,
    Page,
    Ready,
    Run,
    Section,
    Session,
    SessionDetail,
    Span,
    Started,
    Stats,
    Turn,
)
from fleet_rlm.client.runtime import AsyncRuntime
from fleet_rlm.client.watching import events_of_run, events_of_session
from fleet_rlm.core.events import Event

API = "api/v1/"

Policy = Literal["auto", "edits", "ask"]
"""Which tools of a run's agent wait for an answer."""


class AsyncClient:
    """One server, as the person or program that a token speaks for.

    Args:
        address: of the server, its base URL included, such as http://127.0.0.1:8000.
        token: the server's own token; where Entra signs people in, an access token, with `bearer`.
        headers: sent with every request.
        timeout: seconds to wait for one answer; the first question of a session may start a kernel.
        ca: file with the certificate of who signs the server's (https); those the system trusts by default.

    Attributes:
        runs, sessions, artifacts, volumes, runtime: what can be asked of each.

    Raises (every verb):
        NotReached: the server does not answer; NotTrusted where its certificate proves nothing.
        Refused: it does not do it; `code` and the message are the server's. The kinds say what can be done:
            BadRequest, NotSignedIn, Forbidden, NotFound, Conflict, TooLarge, TooMany, Unavailable.
    """

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
        self._connection = Connection(address, token, bearer=bearer, headers=headers, timeout=timeout, ca=ca)
        self.runs = AsyncRuns(self._connection)
        self.sessions = AsyncSessions(self._connection)
        self.artifacts = AsyncArtifacts(self._connection)
        self.volumes = AsyncVolumes(self._connection)
        self.runtime = AsyncRuntime(self._connection)

    async def health(self) -> Health:
        """Whether it answers."""
        return await self._connection.ask("GET", "health", Health)

    async def ready(self) -> Ready:
        """Whether it can answer questions, and what of it fails."""
        return await self._connection.ask("GET", "ready", Ready, good=(503,))

    async def me(self) -> Me:
        """Who is asking."""
        return await self._connection.ask("GET", f"{API}auth/me", Me)

    async def close(self) -> None:
        """Let go of every connection; runs go on."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncRuns(Resource):
    """Runs."""

    async def start(
        self,
        message: str,
        *,
        session: str = "default",
        mode: Literal["auto", "rlm_only", "tools_only", "direct"] = "auto",
        model: str | None = None,
        sub_model: str | None = None,
        budget: int | None = None,
        timeout: float | None = None,
        depth: int | None = None,
        batch_concurrency: int | None = None,
        approve: Policy = "auto",
        context_paths: Sequence[str] = (),
        docs: Sequence[str] = (),
        repo_url: str | None = None,
        repo_ref: str | None = None,
        kernel_id: str | None = None,
    ) -> Started:
        """Ask a question in a session; returns as soon as the run has begun."""
        body = {
            "message": message,
            "session": session,
            "mode": mode,
            "model": model,
            "sub_model": sub_model,
            "budget": budget,
            "timeout": timeout,
            "depth": depth,
            "batch_concurrency": batch_concurrency,
            "approve": approve,
            "context_paths": list(context_paths),
            "docs": list(docs),
            "repo_url": repo_url,
            "repo_ref": repo_ref,
            "kernel_id": kernel_id,
        }
        return await self._connection.ask("POST", f"{API}runs", Started, body=body)

    async def get(self, run: str) -> Run:
        """Where it is, and its answer."""
        return await self._connection.ask("GET", f"{API}runs/{part(run)}", Run)

    async def list(
        self,
        *,
        session: str | None = None,
        status: str | None = None,
        search: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[Run]:
        """Runs, the latest first."""
        query = {"session": session, "status": status, "search": search, "limit": limit, "offset": offset}
        return await self._connection.ask("GET", f"{API}runs", Page[Run], query=query)

    async def spans(self, run: str) -> Page[Span]:
        """All its spans, in order of start."""
        return await self._connection.ask("GET", f"{API}runs/{part(run)}/spans", Page[Span])

    async def log(self, run: str, to: str | Path) -> Path:
        """Write its log, an event a line: `fleet_rlm.Run.from_jsonl` makes of it spans, tree and report."""
        path = f"{API}runs/{part(run)}/events"
        return await self._connection.download(path, Path(to), accept="application/x-ndjson")

    async def events(self, run: str, since: int = 0) -> AsyncGenerator[Event]:
        """Its events from number `since` on: those that were, then those that come, until it is over.

        Each comes once and in order, whatever becomes of the connection meanwhile: a broken one is made anew, after
        0.1 s at first and after 10 s in the end. Closing the generator lets go of the connection; the run goes on.

        Raises:
            NotReached: the connection could not be made anew six times in a row.
        """
        async with aclosing(events_of_run(self._connection, run, since)) as events:
            async for event in events:
                yield event

    async def wait(self, run: str) -> Run:
        """The run once it is over, however it ended."""
        told = await self.get(run)
        if told.status != "running":
            return told
        async with aclosing(self.events(run, told.next)) as events:
            async for _ in events:
                pass
        return await self.get(run)

    async def stop(self, run: str) -> None:
        """Ask it to end; its last events follow."""
        await self._connection.ask("POST", f"{API}runs/{part(run)}/stop", Any)

    async def approve(self, run: str, answer: str = "once", *, ask: int | None = None, note: str | None = None) -> None:
        """Decide what it asks: "once", "always" (that tool, for the rest of the run) or "no", with a note to the model.

        `ask` is the `seq` of the `approval.ask` event; it may be left out where one question is open.
        """
        body = {"answer": answer, "ask": ask, "note": note}
        await self._connection.ask("POST", f"{API}runs/{part(run)}/approve", Any, body=body)

    async def resume(
        self,
        run: str,
        *,
        model: str | None = None,
        sub_model: str | None = None,
        budget: int | None = None,
        timeout: float | None = None,
        approve: Policy | None = None,
    ) -> Started:
        """Go on with a run that has no answer; nothing is paid twice."""
        body = {"model": model, "sub_model": sub_model, "budget": budget, "timeout": timeout, "approve": approve}
        return await self._connection.ask("POST", f"{API}runs/{part(run)}/resume", Started, body=body)

    async def branch(
        self,
        run: str,
        span: str,
        *,
        prompt: str | None = None,
        code: str | None = None,
        reply: str | None = None,
        model: str | None = None,
        sub_model: str | None = None,
        budget: int | None = None,
        timeout: float | None = None,
        approve: Policy | None = None,
    ) -> Started:
        """Another run that shares the past up to a span, where at most one of prompt, code and reply is another."""
        edit = {"span": span, "prompt": prompt, "code": code, "reply": reply}
        changes = {"model": model, "sub_model": sub_model, "budget": budget, "timeout": timeout, "approve": approve}
        return await self._connection.ask("POST", f"{API}runs/{part(run)}/branch", Started, body={**edit, **changes})

    async def feedback(
        self,
        run: str,
        value: bool | float | str,
        *,
        name: str = "helpful",
        comment: str | None = None,
        expected: str | None = None,
        span: str | None = None,
    ) -> Feedback:
        """Judge it, or one of its spans."""
        body = {"name": name, "value": value, "comment": comment, "expected": expected, "span": span}
        return await self._connection.ask("POST", f"{API}runs/{part(run)}/feedback", Feedback, body=body)


class AsyncSessions(Resource):
    """Sessions. One is made by asking a question in it."""

    async def list(
        self,
        *,
        search: str | None = None,
        status: Literal["active", "archived", "any"] = "active",
        created_after: datetime.datetime | None = None,
        created_before: datetime.datetime | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[Session]:
        """Sessions, the one last changed first. Times must know their zone."""
        query = {
            "search": search,
            "status": status,
            "created_after": created_after and created_after.isoformat(),
            "created_before": created_before and created_before.isoformat(),
            "limit": limit,
            "offset": offset,
        }
        return await self._connection.ask("GET", f"{API}sessions", Page[Session], query=query)

    async def get(self, session: str) -> SessionDetail:
        """One session."""
        return await self._connection.ask("GET", self._path(session), SessionDetail)

    async def patch(
        self, session: str, *, title: str | None = None, metadata: dict[str, Any] | None = None
    ) -> SessionDetail:
        """Give it a title, or merge into its metadata, where a key with None is removed."""
        body = {"title": title, "metadata": metadata}
        return await self._connection.ask("PATCH", self._path(session), SessionDetail, body=body)

    async def archive(self, session: str) -> SessionDetail:
        """Take it off the list and end its kernel; nothing is lost."""
        return await self._connection.ask("DELETE", self._path(session), SessionDetail)

    async def delete(self, session: str, *, user: str | None = None) -> SessionDetail:
        """Delete it for good, with its runs and all they left; an administrator may name whose it is."""
        query = {"permanent": "true", "user": user}
        return await self._connection.ask("DELETE", self._path(session), SessionDetail, query=query)

    async def restore(self, session: str) -> SessionDetail:
        """Put an archived session back."""
        return await self._connection.ask("POST", self._path(session, "/restore"), SessionDetail)

    async def turns(self, session: str, *, limit: int = 50, offset: int = 0) -> Page[Turn]:
        """Its questions and answers, oldest first."""
        query = {"limit": limit, "offset": offset}
        return await self._connection.ask("GET", self._path(session, "/turns"), Page[Turn], query=query)

    async def stats(self, session: str) -> Stats:
        """What its runs used: calls, tokens, US dollars, seconds."""
        return await self._connection.ask("GET", self._path(session, "/stats"), Stats)

    async def state(self) -> Sequence[OpenSession]:
        """Those that are open in kernels of the server."""
        return (await self._connection.ask("GET", f"{API}sessions/state", OpenSessions)).sessions

    async def events(self, session: str) -> AsyncGenerator[Event]:
        """The events of its run that goes on, from its beginning, then of each that begins or is resumed.

        `event.run` says of which. It begins when the first event is asked for, and never ends by itself. Each event
        comes once, and in order within its run, whatever becomes of the connection meanwhile: a broken one is made
        anew as for a run, and runs that came and went without one are told, too.

        Raises:
            NotReached: the connection could not be made anew six times in a row.
        """
        async with aclosing(events_of_session(self._connection, session)) as events:
            async for event in events:
                yield event

    async def export(self, session: str, to: str | Path, format: Literal["zip", "parquet"] = "zip") -> Path:
        """Write it to a file: "zip" is all of it, for `Session.import_`, "parquet" the spans of its runs."""
        return await self._connection.download(self._path(session, "/export"), Path(to), {"format": format})

    async def memory(self, session: str) -> dict[Section, str]:
        """The texts that stand in every prompt of it, by section."""
        return (await self._connection.ask("GET", self._path(session, "/memory"), CoreMemory)).sections

    async def edit_memory(
        self, session: str, section: Section, content: str, mode: Literal["append", "replace"] = "append"
    ) -> dict[Section, str]:
        """Change one of these texts."""
        body = {"section": section, "content": content, "mode": mode}
        return (await self._connection.ask("PATCH", self._path(session, "/memory"), CoreMemory, body=body)).sections

    async def memory_items(self, session: str, *, limit: int = 50, offset: int = 0) -> Page[MemoryItem]:
        """The changes of these texts: what was written, by whom, and in which run."""
        query = {"limit": limit, "offset": offset}
        return await self._connection.ask("GET", self._path(session, "/memory/items"), Page[MemoryItem], query=query)

    @staticmethod
    def _path(session: str, what: str = "") -> str:
        return f"{API}sessions/{part(session)}{what}"
