"""What is told of the server's health and of who is asking, as JSON."""

from __future__ import annotations

from typing import Literal

from fleet_rlm.server.services.runs.models import Strict


class Health(Strict):
    """The process answers."""

    ok: bool
    version: str


class Part(Strict):
    """One thing that answering needs. `reason` says what was found; it is told to whoever is signed in."""

    state: Literal["ready", "stand-in", "open", "failed"]
    reason: str | None


class Ready(Strict):
    """Whether a question that is asked now can be answered; each part was tried, lately or just now.

    A model that is a "stand-in" is a set of rules; an auth that is "open" asks nobody who they are.
    """

    ready: bool
    model: Part
    store: Part
    sandbox: Part
    auth: Part


class Me(Strict):
    """Who is asking, and what they may do: `permissions` holds "action resource" pairs."""

    tenant: str
    user: str
    name: str | None
    roles: list[str]
    permissions: list[str]
    expires_at: int | None
