"""The session this kernel is in, if it is in one, and those it still holds open.

A `%%fleet` cell goes on with the current session. Switching leaves the one before, except while it answers a question
in the background; it is closed when it has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from fleet_rlm.notebook.arguments import Arguments

if TYPE_CHECKING:
    from fleet_rlm.core.run import Run
    from fleet_rlm.sessions.session import Session


class KernelSessions:
    """Open sessions of this process by id; at most one of them is the current one."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self.current: Session | None = None

    def enter(self, session: Session) -> Session:
        """Make an open session the current one, and say what was found on opening it."""
        self._open[session.id] = self.current = session
        self._leave_others(session)
        for notice in session.notices:
            print(f"note: {notice}")
        return session

    def use(self, name: str, *, new: bool | None = None) -> Session:
        """Enter the session of a name: one that exists, where `new` is False, one that does not, where it is True."""
        from fleet_rlm.sessions.session import Session

        if not new:
            for session in self._open.values():
                if name in (session.name, session.id):
                    self.current = session
                    self._leave_others(session)
                    return session
        return self.enter(Session(name) if new is None else Session.new(name) if new else Session.open(name))

    @contextlib.contextmanager
    def looking_at(self, name: str) -> Iterator[Session]:
        """The session of a name for a moment, without leaving the current one; the current one for no name.

        Raises:
            UsageError: there is no name and no current session.
        """
        from fleet_rlm.sessions.session import Session

        if not name and self.current is None:
            raise UsageError("this kernel is in no session; %fleet session use NAME, or new NAME, enters one")
        held = [one for one in self._open.values() if name in (one.name, one.id)] if name else [self.current]
        if held and held[0] is not None:
            yield held[0]
            return
        with Session.open(name) as session:
            yield session

    def leave(self) -> str | None:
        """Close the current session; returns its name, None if there was none."""
        left, self.current = self.current, None
        if left is not None:
            self._leave_others(None)
        return left.name if left is not None else None

    def asked(self, options: Arguments) -> Session | None:
        """The session a cell asks in; None where it asks outside of any."""
        if options.session is not None:
            return self.use(options.session)
        return None if options.no_session else self.current

    def of_run(self, run: Run) -> Session | None:
        """The session a run is a turn of, entered; None for a run outside of any."""
        start = run.tree.start
        return None if start is None or start.session is None else self.use(start.session, new=False)

    def forget(self, name: str) -> None:
        """Close a session that is about to be deleted, if this kernel has it open."""
        for session in list(self._open.values()):
            if name in (session.name, session.id):
                self.current = None if self.current is session else self.current
                self._open.pop(session.id).close()

    def _leave_others(self, kept: Session | None) -> None:
        for session in list(self._open.values()):
            if session is not kept and not session.is_answering:
                self._open.pop(session.id).close()


SESSIONS = KernelSessions()
"""Those of this process; a kernel is one process."""
