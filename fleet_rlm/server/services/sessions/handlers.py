"""The routes of sessions: parse, call the service, answer."""

from __future__ import annotations

import dataclasses
from typing import Any

from fleet_rlm.server.auth.authorizer import authorized, tell_denied
from fleet_rlm.server.auth.permission import ADMIN
from fleet_rlm.server.base import Handler
from fleet_rlm.server.sending import OCTETS, send_file
from fleet_rlm.server.services.errors import Forbidden
from fleet_rlm.server.services.sessions.models import DeleteQuery, ExportQuery, PageQuery, PatchSession, SessionQuery

RESOURCE = "fleet.sessions"
MIMES = {"zip": "application/zip", "parquet": "application/vnd.apache.parquet"}


class Sessions(Handler):
    """All sessions."""

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """List them, the one last changed first."""
        self.answer(await self.house.sessions.list(self.identity, self.query(SessionQuery)))


class OpenSessions(Handler):
    """The sessions that are open in kernels."""

    @authorized("read", RESOURCE)
    async def get(self) -> None:
        """Tell which are open, and what they hold."""
        self.answer(await self.house.sessions.state(self.identity))


class OneSession(Handler):
    """One session, by id or name."""

    @authorized("read", RESOURCE)
    async def get(self, session: str) -> None:
        """What it is about, and how many turns it has."""
        self.answer(await self.house.sessions.get(self.identity, session))

    @authorized("write", RESOURCE)
    async def patch(self, session: str) -> None:
        """Change its title or its metadata."""
        self.answer(await self.house.sessions.patch(self.identity, session, self.read(PatchSession)))

    @authorized("write", RESOURCE)
    async def delete(self, session: str) -> None:
        """Archive it: it leaves the list, and its kernel ends. With `permanent=true` nothing of it is left."""
        asked = self.query(DeleteQuery)
        if not asked.permanent:
            self.answer(await self.house.sessions.archive(self.identity, session))
            return
        self.audited, self.audited_object = "session.delete", session
        identity = self.identity
        if asked.user is not None:
            self.audited_object = f"{session} of {asked.user}"
            if ADMIN not in identity.roles:
                tell_denied(self, "write", RESOURCE)
                raise Forbidden(f"only {ADMIN} may delete what is somebody else's")
            identity = dataclasses.replace(identity, user=asked.user)
        self.answer(await self.house.sessions.delete(identity, session))


class Restore(Handler):
    """Putting an archived session back."""

    @authorized("write", RESOURCE)
    async def post(self, session: str) -> None:
        """Put it back on the list."""
        self.answer(await self.house.sessions.restore(self.identity, session))


class Turns(Handler):
    """The turns of a session."""

    @authorized("read", RESOURCE)
    async def get(self, session: str) -> None:
        """List them, oldest first."""
        asked = self.query(PageQuery)
        self.answer(await self.house.sessions.turns(self.identity, session, asked.limit, asked.offset))


class SessionStats(Handler):
    """What the runs of a session used."""

    @authorized("read", RESOURCE)
    async def get(self, session: str) -> None:
        """Count it."""
        self.answer(await self.house.sessions.stats(self.identity, session))


class Export(Handler):
    """A session as a file."""

    @authorized("read", RESOURCE)
    async def get(self, session: str) -> None:
        """All of it as a zip, or the spans of its runs as Parquet."""
        asked = self.query(ExportQuery)
        self.audited, self.audited_object = "session.export", session
        file, name = await self.house.sessions.export(self.identity, session, asked.format)
        await send_file(self, file, name, MIMES.get(asked.format, OCTETS))


_SESSION = r"/fleet/api/v1/sessions/(?P<session>[^/]{1,400})"

ROUTES: list[tuple[str, type[Any]]] = [
    (r"/fleet/api/v1/sessions", Sessions),
    (r"/fleet/api/v1/sessions/state", OpenSessions),
    (_SESSION, OneSession),
    (_SESSION + "/restore", Restore),
    (_SESSION + "/turns", Turns),
    (_SESSION + "/stats", SessionStats),
    (_SESSION + "/export", Export),
]
