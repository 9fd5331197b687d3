"""What may go wrong with a session, one type per outcome; each says which session, what happened, and the way out.

A `SandboxGone`, and a `ManifestUnreadable` or `ManifestTampered` of a revision with a good one below it, do not keep a
session from opening: they are its `notices`.
"""

from __future__ import annotations

from fleet_rlm.core.errors import FleetError, UserError


class SessionError(FleetError):
    """A session cannot be opened, kept or changed."""


class SessionNotFound(UserError, SessionError):
    """There is no session of that name."""


class SessionExists(UserError, SessionError):
    """The name belongs to another session.

    Attributes:
        what: the sentence without the way out, which a face may have another of.
    """

    def __init__(self, what: str, way: str) -> None:
        self.what = what
        super().__init__(f"{what}; {way}")


class SessionInUse(SessionError):
    """Another kernel, or another object in this one, has the session open.

    Attributes:
        pid, host, since: who holds it, and from when on.
    """

    def __init__(self, session: str, pid: int, host: str, since: str, *, here: bool) -> None:
        self.pid, self.host, self.since = pid, host, since
        who = "this process already" if here else f"process {pid} on {host}"
        super().__init__(
            f"session {session!r} is open in {who} since {since}; close it there (session.close(), or shut that kernel "
            "down), or use another session"
        )


class SessionBusy(SessionError):
    """A turn is going on; one session answers one question at a time."""


class SessionClosed(SessionError):
    """The session was closed and answers no more."""


class NotSaved(SessionError):
    """The state could not be written; it is kept in memory, and the next save writes all of it."""


class ManifestError(SessionError):
    """The saved state of a session cannot be used. Nothing was overwritten."""


class ManifestMissing(ManifestError):
    """The session is listed, and its saved state is not there."""


class ManifestUnreadable(ManifestError):
    """The saved state cannot be read: the disk refuses, or the file is cut or no manifest."""


class ManifestTampered(ManifestError):
    """The saved state is not what this home signed."""


class ManifestTooNew(ManifestError):
    """The saved state was written by a later fleet-rlm; this one leaves it alone."""


class ManifestConflict(ManifestError):
    """Somebody else saved the session first; `revision` is theirs."""

    def __init__(self, session: str, revision: int, by: str) -> None:
        self.revision = revision
        super().__init__(
            f"session {session!r} was saved as revision {revision} by {by} meanwhile; open it again and repeat what is "
            "missing, nothing of theirs was overwritten"
        )


class SandboxGone(SessionError):
    """The sandbox of earlier turns has ended; `variables` are those its code had made, as far as they are known."""

    def __init__(self, why: str, variables: tuple[str, ...] = ()) -> None:
        self.variables = variables
        lost = f"; lost are {', '.join(f'`{name}`' for name in variables)}" if variables else ""
        super().__init__(
            f"the sandbox of earlier turns is gone ({why}): a new one has the documents and values again, what code "
            f"had made is to be made again{lost}"
        )


class TurnCut(SessionError):
    """A turn was going on when its kernel ended; `run` is its run, which can go on."""

    def __init__(self, question: str, run: str) -> None:
        self.run = run
        super().__init__(
            f"the question {question[:80]!r} was cut off with its kernel; session.resume({run!r}) or "
            f"%fleet resume {run} goes on with it"
        )


class ValuesGone(SessionError):
    """Values of earlier turns are not here any more; `names` says which."""

    def __init__(self, lost: dict[str, str]) -> None:
        self.names = tuple(lost)
        told = "; ".join(f"`{name}` {why}" for name, why in lost.items())
        super().__init__(f"values of earlier turns are not here: {told}; give them again where they are needed")


class ArchiveError(UserError, SessionError):
    """A file is no export of a session that can be taken in; nothing was imported."""
