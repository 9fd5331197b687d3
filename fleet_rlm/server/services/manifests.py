"""What a session's manifest says, read without the agent: the server looks, and only kernels change it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.services.errors import Conflict, NotFound

if TYPE_CHECKING:
    from fleet_rlm.sessions.volumes import Volume

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

logger = logging.getLogger("fleet_rlm")


async def state_of(home: Path, session: str) -> dict[str, Any]:
    """The state of a session of this home as it was saved last.

    Raises:
        NotFound: nothing of it was saved here.
        Conflict: it is damaged, or not what this home signed.
    """
    return await asyncio.to_thread(_state, home, session)


def _state(home: Path, session: str) -> dict[str, Any]:
    from fleet_rlm.sessions.errors import ManifestError, ManifestMissing
    from fleet_rlm.sessions.manifest import Revisions, Signer

    try:
        volume = _volume(home, session)
        if volume is None:
            raise NotFound("saved state of a session", session)
        place = volume.meta(session, writable=False)
        return Revisions(place, Signer.of_home(home), session, lambda _: ()).load().revision.state
    except ManifestMissing:
        raise NotFound("saved state of a session", session) from None
    except (ManifestError, OSError) as fault:
        logger.error("the state of session %s cannot be used: %s", session, fault)
        kind = type(fault).__name__
        raise Conflict(
            f"the saved state of session {session} cannot be used ({kind}); the server's log says why"
        ) from None


def _volume(home: Path, session: str) -> Volume | None:
    """The volume in which a session lives."""
    from fleet_rlm.sessions.volumes import LocalVolumes

    volumes = LocalVolumes(home)
    if not _NAME.fullmatch(session):
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, UserError):
        return volumes.named(json.loads((home / "sessions" / f"{session}.json").read_bytes())["volume"])
    name = volumes.sessions().get(session)  # what lists tell may be lost
    return None if name is None else volumes.named(name)
