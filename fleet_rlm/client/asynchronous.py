"""AsyncClient: everything a server can be asked, as coroutines. A session is named by its id or its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from fleet_rlm.client.connection import Connection, part
from fleet_rlm.client.records import (
    Artifact,
    Feedback,
    Health,
    Me,
    Node,
    Page,
    Ready,
    Run,
    Session,
    Span,
    Started,
    Tree,
    Turn,
    Volume,
)
from fleet_rlm.core.events import Event

API = "api/v1/"
FILE = f"{API}runtime/volume/file"


class AsyncClient:
    """One server, as the person or program that a token speaks for.

    Args:
        address: of the server, its base URL included, such as http://127.0.0.1:8000.
        token: the server's own token; where Entra signs people in, an access token, with `bearer`.
        headers: sent with every request.

    Attributes:
        runs, sessions, artifacts, volumes: what can be asked of each.

    Raises (every verb):
        NotReached: the server does not answer.
        Refused: it does not do it; `code` and the message are the server's.
    """

    def __init__(
        self, address: str, token: str | None = None, *, bearer: bool = False, headers: dict[str, str] | None = None
    ) -> None:
        self._connection = Connection(address, token, bearer=bearer, headers=headers)
        self.runs = AsyncRuns(self._connection)
        self.sessions = AsyncSessions(self._connection)
        self.artifacts = AsyncArtifacts(self._connection)
        self.volumes = AsyncVolumes(self._connection)

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


class _Resource:
    """A kind of thing that can be asked about over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


class AsyncRuns(_Resource):
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

    async def events(self, run: str, since: int = 0) -> AsyncGenerator[Event]:
        """Its events from number `since` on: those that were, then those that come, until it is over.

        Each comes once and in order, whatever becomes of the connection meanwhile.
        """
        async with aclosing(self._connection.events(run, since)) as events:
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

    async def resume(
        self,
        run: str,
        *,
        model: str | None = None,
        sub_model: str | None = None,
        budget: int | None = None,
        timeout: float | None = None,
    ) -> Started:
        """Go on with a run that has no answer; nothing is paid twice."""
        body = {"model": model, "sub_model": sub_model, "budget": budget, "timeout": timeout}
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
    ) -> Started:
        """Another run that shares the past up to a span, where at most one of prompt, code and reply is another."""
        edit = {"span": span, "prompt": prompt, "code": code, "reply": reply}
        changes = {"model": model, "sub_model": sub_model, "budget": budget, "timeout": timeout}
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


class AsyncSessions(_Resource):
    """Sessions. One is made by asking a question in it."""

    async def list(
        self,
        *,
        search: str | None = None,
        status: Literal["active", "archived", "any"] = "active",
        limit: int = 50,
        offset: int = 0,
    ) -> Page[Session]:
        """Sessions, the one last changed first."""
        query = {"search": search, "status": status, "limit": limit, "offset": offset}
        return await self._connection.ask("GET", f"{API}sessions", Page[Session], query=query)

    async def get(self, session: str) -> Session:
        """One session."""
        return await self._connection.ask("GET", self._path(session), Session)

    async def patch(self, session: str, *, title: str | None = None, metadata: dict[str, Any] | None = None) -> Session:
        """Give it a title, or merge into its metadata, where a key with None is removed."""
        body = {"title": title, "metadata": metadata}
        return await self._connection.ask("PATCH", self._path(session), Session, body=body)

    async def archive(self, session: str) -> Session:
        """Take it off the list and end its kernel; nothing is lost."""
        return await self._connection.ask("DELETE", self._path(session), Session)

    async def delete(self, session: str, *, user: str | None = None) -> Session:
        """Delete it for good, with its runs and all they left; an administrator may name whose it is."""
        query = {"permanent": "true", "user": user}
        return await self._connection.ask("DELETE", self._path(session), Session, query=query)

    async def restore(self, session: str) -> Session:
        """Put an archived session back."""
        return await self._connection.ask("POST", self._path(session, "/restore"), Session)

    async def turns(self, session: str, *, limit: int = 50, offset: int = 0) -> Page[Turn]:
        """Its questions and answers, oldest first."""
        query = {"limit": limit, "offset": offset}
        return await self._connection.ask("GET", self._path(session, "/turns"), Page[Turn], query=query)

    async def stats(self, session: str) -> dict[str, Any]:
        """What its runs used."""
        return await self._connection.ask("GET", self._path(session, "/stats"), dict[str, Any])

    async def export(self, session: str, to: str | Path, format: Literal["zip", "parquet"] = "zip") -> Path:
        """Write it to a file: "zip" is all of it, for `Session.import_`, "parquet" the spans of its runs."""
        return await self._connection.download(self._path(session, "/export"), Path(to), {"format": format})

    async def memory(self, session: str) -> dict[str, str]:
        """The texts that stand in every prompt of it, by section."""
        told = await self._connection.ask("GET", self._path(session, "/memory"), dict[str, Any])
        sections: dict[str, str] = told["sections"]
        return sections

    async def edit_memory(
        self, session: str, section: str, content: str, mode: Literal["append", "replace"] = "append"
    ) -> dict[str, str]:
        """Change one of these texts."""
        body = {"section": section, "content": content, "mode": mode}
        told = await self._connection.ask("PATCH", self._path(session, "/memory"), dict[str, Any], body=body)
        sections: dict[str, str] = told["sections"]
        return sections

    @staticmethod
    def _path(session: str, what: str = "") -> str:
        return f"{API}sessions/{part(session)}{what}"


class AsyncArtifacts(_Resource):
    """Files that runs made."""

    async def list(self, run: str | None = None, *, limit: int = 50, offset: int = 0) -> Page[Artifact]:
        """Those of a run, or of all, the latest first."""
        query = {"run": run, "limit": limit, "offset": offset}
        return await self._connection.ask("GET", f"{API}artifacts", Page[Artifact], query=query)

    async def download(self, run: str, artifact: str, to: str | Path) -> Path:
        """Write one to a file."""
        return await self._connection.download(f"{API}artifacts/{part(run)}/{part(artifact)}", Path(to))


class AsyncVolumes(_Resource):
    """Files that outlive kernels: paths are such as memory/notes.md."""

    async def list(self, *, limit: int = 50, offset: int = 0) -> Page[Volume]:
        """All volumes, by name."""
        query = {"limit": limit, "offset": offset}
        return await self._connection.ask("GET", f"{API}runtime/volumes", Page[Volume], query=query)

    async def tree(self, volume: str, path: str = "", *, max_depth: int = 10) -> Tree:
        """What is below a folder."""
        query = {"volume": volume, "path": path, "max_depth": max_depth}
        return await self._connection.ask("GET", f"{API}runtime/volume/tree", Tree, query=query)

    async def upload(self, volume: str, path: str, data: bytes | Path) -> Node:
        """Write a file whole."""
        content = await asyncio.to_thread(data.read_bytes) if isinstance(data, Path) else data
        query = {"volume": volume, "path": path}
        return await self._connection.ask("PUT", FILE, Node, query=query, content=content)

    async def download(self, volume: str, path: str, to: str | Path) -> Path:
        """Copy a file from there."""
        query = {"volume": volume, "path": path}
        return await self._connection.download(f"{API}runtime/volume/download", Path(to), query)

    async def delete(self, volume: str, path: str) -> None:
        """Remove a file, or a folder with all it holds."""
        await self._connection.ask("DELETE", FILE, Any, query={"volume": volume, "path": path})
