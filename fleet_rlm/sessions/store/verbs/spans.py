"""Spans and artifacts: what the log of a run says, one row each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from fleet_rlm.sessions.store.errors import NotFound
from fleet_rlm.sessions.store.page import MOST, Page
from fleet_rlm.sessions.store.tables import Artifact, Span
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, verb
from fleet_rlm.sessions.store.verbs.runs import found


class Spans(Verbs):
    """The spans of one user's runs; written by whoever appends the events."""

    @verb
    async def alist(
        self, run: str | None = None, *, type: str | None = None, limit: int = MOST, offset: int = 0
    ) -> Page[Span]:
        """The spans of a run in order of start, or of all runs by run; `type` is one of the log's span types."""
        query = select(Span)
        if run is not None:
            query = query.where(Span.run_id == run)
        if type is not None:
            query = query.where(Span.type == type)
        async with self._read() as unit:
            return await unit.page(query, limit, offset, (Span.run_id, Span.seq))

    list = blocking(alist)


class Artifacts(Verbs):
    """The artifacts of one user's runs: where each lies, what it is, and what made it."""

    @verb
    async def aadd(
        self,
        run: str,
        id: str,
        *,
        name: str,
        mime: str,
        bytes: int,
        sha256: str,
        path: str,
        provenance: dict[str, Any] | None = None,
    ) -> Artifact:
        """Record something a run made that its log does not name; the same id again replaces it.

        Raises:
            NotFound: there is no such run.
        """
        made = Artifact(
            run_id=run,
            id=id,
            name=name,
            mime=mime,
            bytes=bytes,
            sha256=sha256,
            path=path,
            provenance=provenance or {},
        )
        async with self._write() as unit:
            await found(unit, run)
            await unit.insert(made, again=("name", "mime", "bytes", "sha256", "path", "provenance"))
        return made

    @verb
    async def aget(self, run: str, id: str) -> Artifact:
        """One artifact.

        Raises:
            NotFound: there is none.
        """
        async with self._read() as unit:
            kept = await unit.first(select(Artifact).where(Artifact.run_id == run, Artifact.id == id))
        if kept is None:
            raise NotFound("artifact", f"{run}/{id}")
        return kept

    @verb
    async def alist(self, run: str | None = None, *, limit: int = MOST, offset: int = 0) -> Page[Artifact]:
        """The artifacts of a run, or of all runs, the latest first."""
        query = select(Artifact)
        if run is not None:
            query = query.where(Artifact.run_id == run)
        async with self._read() as unit:
            return await unit.page(query, limit, offset, (Artifact.created_at.desc(), Artifact.run_id, Artifact.id))

    add = blocking(aadd)
    get = blocking(aget)
    list = blocking(alist)
