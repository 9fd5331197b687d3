"""Deleting a session: its state, documents, logs of runs, rows in the store, and its volume if that is its own."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fleet_rlm.core.errors import FleetError
from fleet_rlm.sessions.errors import ManifestError, SessionError
from fleet_rlm.sessions.shelf import Entry, Shelf
from fleet_rlm.sessions.turns import Turns


def delete_session(name: str, *, home: Path | None = None) -> Entry:
    """Delete the session of a name or an id for good; returns what it was.

    Raises:
        SessionNotFound: there is none.
        SessionInUse: somebody has it open.
        SessionError: something of it cannot be removed.
    """
    shelf = Shelf(home)
    entry = shelf.find(name)
    lease = shelf.lease(entry)
    try:
        lease.take()
        shelf.forget(entry, _runs(shelf, entry))
    except OSError as error:
        raise SessionError(f"session {entry.name!r} cannot be deleted: {error.strerror or error}") from error
    finally:
        lease.release()
    _forget_rows(entry)
    return entry


def _runs(shelf: Shelf, entry: Entry) -> list[str]:
    """The runs of its turns, as far as its state can be read."""
    try:
        revisions = shelf.revisions(entry, writable=False)
        turns = Turns.from_state(revisions.load().revision.state["turns"], revisions.blob)
    except ManifestError:
        return []
    return [turn.run for turn in turns if turn.run]


def _forget_rows(entry: Entry) -> None:
    from fleet_rlm.sessions.store import open_store

    store = open_store()
    with contextlib.suppress(FleetError):  # it has no rows, or the store is away: nothing there speaks for a session
        store.scoped().sessions.delete(entry.id)
    with contextlib.suppress(FleetError):
        store.close()
