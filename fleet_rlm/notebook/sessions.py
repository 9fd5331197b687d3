"""`%fleet session new|list|use|show|rename|export|import|delete|close`: the sessions of this home.

Each is a function that returns the text to print; the first line of its docstring is its line in the help.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from fleet_rlm.notebook.arguments import unquoted
from fleet_rlm.notebook.current import SESSIONS
from fleet_rlm.notebook.suggest import did_you_mean
from fleet_rlm.notebook.tables import short, table

if TYPE_CHECKING:
    from fleet_rlm.sessions.session import Session

LATEST = 5
"""Turns that `show` shows."""


def session_command(words: list[str]) -> str:
    """Carry out the words after `%fleet session`; alone they show the current one, or the list.

    Raises:
        UsageError: there is no such command, or its words do not fit it.
    """
    name, *rest = words or ["show" if SESSIONS.current else "list"]
    if name not in COMMANDS:
        close = did_you_mean(name, COMMANDS) or f"; there are {', '.join(COMMANDS)}"
        raise UsageError(f"%fleet session has no {name!r}{close}")
    least, most, do = COMMANDS[name]
    if not least <= len(rest) <= most:
        form = " ".join(["%fleet session", name, *(do.__doc__ or "").partition(":")[0].split()])
        raise UsageError(f"{form} is how it is written; a name with spaces stands in quotation marks")
    if stray := next((word for word in rest if word.startswith("-")), None):
        raise UsageError(
            f"%fleet session {name} has no option {stray}; a name that begins so stands in quotation marks"
        )
    return do(*map(unquoted, rest))


def session_names() -> list[str]:
    """The names of all sessions, for completion."""
    from fleet_rlm.sessions.shelf import Shelf

    return [entry.name for entry in Shelf().entries()]


def _new(name: str) -> str:
    """NAME: a new session, in which the cells below go on"""
    session = SESSIONS.use(name, new=True)
    return f"in the new session {session.name!r}; %fleet session close leaves it"


def _list() -> str:
    """: the sessions there are, the one used last first"""
    from fleet_rlm.sessions.shelf import Shelf

    current = SESSIONS.current.id if SESSIONS.current else None
    rows = [
        ["*" if entry.id == current else "", entry.name, str(entry.turns), entry.updated_at[:16], entry.volume]
        for entry in Shelf().entries()
    ]
    if not rows:
        return "there is no session yet; %fleet session new NAME makes one"
    return table([["", "session", "turns", "saved (UTC)", "volume"], *rows])


def _use(name: str) -> str:
    """NAME: go on with a session; the one before is left"""
    session = SESSIONS.use(name, new=False)
    return f"in session {session.name!r}, {_turns(session)}"


def _show(name: str = "") -> str:
    """[NAME]: turns, memory, documents and files of a session, of the current one without NAME"""
    with SESSIONS.looking_at(name) as session:
        return _shown(session)


def _shown(session: Session) -> str:
    turns = [[str(turn.run or ""), turn.status, short(turn.question)] for turn in session.turns[-LATEST:]]
    documents = [[one.alias, one.kind, f"{one.chars:,} characters", one.source] for one in session.documents]
    files = [[entry.path, f"{entry.bytes:,} bytes"] for entry in session.volume.tree() if not entry.is_folder]
    parts = [
        table([["session", session.name], ["turns", f"{len(session.turns):,}"], ["volume", session.volume.name]]),
        *([f"the latest turns\n{table(turns)}"] if turns else []),
        f"memory\n{session.memory.text()}",
        *([f"documents\n{table(documents)}"] if documents else []),
        *([f"values\n{', '.join(session.values)}"] if session.values else []),
        *([f"files\n{table(files)}"] if files else []),
    ]
    return "\n\n".join(parts)


def _rename(old: str, new: str = "") -> str:
    """[NAME] NEW: give a session another name, the current one without NAME"""
    with SESSIONS.looking_at(old if new else "") as session:
        session.rename(new or old)
        return f"the session is called {session.name!r} now"


def _export(name: str, path: str = "") -> str:
    """[NAME] FILE: write all of a session into one file, documents and files as they are"""
    with SESSIONS.looking_at(name if path else "") as session:
        return f"session {session.name!r} is in {session.export(path or name)}"


def _import(path: str, name: str = "") -> str:
    """FILE [NAME]: take in the session of such a file, and go on in it"""
    from fleet_rlm.sessions.errors import SessionExists
    from fleet_rlm.sessions.session import Session

    try:
        taken_in = Session.import_(path, name or None)
    except SessionExists as error:
        raise UsageError(f"{error.what}; take it in under another name: %fleet session import FILE NAME") from error
    session = SESSIONS.enter(taken_in)
    return f"in session {session.name!r}, {_turns(session)}"


def _delete(name: str) -> str:
    """NAME: delete a session, its files and the logs of its runs, for good"""
    from fleet_rlm.sessions.deleting import delete_session
    from fleet_rlm.sessions.shelf import Shelf

    Shelf().find(name)
    SESSIONS.forget(name)
    return f"session {delete_session(name).name!r} is deleted"


def _close() -> str:
    """: leave the current session; the cells below are on their own again"""
    left = SESSIONS.leave()
    return f"left session {left!r}" if left else "this kernel is in no session"


def _turns(session: Session) -> str:
    count = len(session.turns)
    return "1 turn" if count == 1 else f"{count:,} turns"


COMMANDS: dict[str, tuple[int, int, Callable[..., str]]] = {
    "new": (1, 1, _new),
    "list": (0, 0, _list),
    "use": (1, 1, _use),
    "show": (0, 1, _show),
    "rename": (1, 2, _rename),
    "export": (1, 2, _export),
    "import": (1, 2, _import),
    "delete": (1, 1, _delete),
    "close": (0, 0, _close),
}
"""Command to the fewest and the most words after it, and what it does."""


def help_lines() -> list[list[str]]:
    """The lines of `%fleet help`."""
    return [[f"%fleet session {name}", (do.__doc__ or "").lstrip(": ")] for name, (_, _, do) in COMMANDS.items()]
