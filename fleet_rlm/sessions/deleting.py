"""Deleting a session for good: its state, documents, runs with their data and files, rows in the store, its own volume.

A value that runs of other sessions use too stays, and so does what a shared volume holds besides the files of its runs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from fleet_rlm.agent import kept
from fleet_rlm.core.errors import FleetError
from fleet_rlm.sessions.errors import ManifestError, SessionError
from fleet_rlm.sessions.shelf import Entry, Shelf
from fleet_rlm.sessions.turns import Turns

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def delete_session(name: str, *, home: Path | None = None) -> Entry:
    """Delete the session of a name or an id for good; returns what it was.

    Raises:
        SessionNotFound: there is none.
        SessionInUse: somebody has it open.
        SessionError: something of it cannot be removed.
    """
    shelf = Shelf(home)
    entry = shelf.find(name)
    delete_files(shelf, entry)
    _forget_rows(entry)
    return entry


def delete_files(shelf: Shelf, entry: Entry, runs: Iterable[str] = ()) -> None:
    """Delete what lies on the disk of a session.

    Args:
        runs: of its runs, those that its state may not name.

    Raises:
        SessionInUse: somebody has it open.
        SessionError: something of it cannot be removed.
    """
    lease = shelf.lease(entry)
    try:
        lease.take()
        runs = {run for run in (*runs, *_runs(shelf, entry)) if _RUN.fullmatch(run)}  # logs can name any
        values = _values(shelf.home / "runs" / run for run in runs)
        shelf.forget(entry, runs)
        for value in values - _values((shelf.home / "runs").glob("*")) if values else ():
            (shelf.home / "values" / value).unlink(missing_ok=True)
    except OSError as error:
        raise SessionError(f"session {entry.name!r} cannot be deleted: {error.strerror or error}") from error
    finally:
        lease.release()


def _values(directories: Iterable[Path]) -> set[str]:
    """The names of the values that runs keep."""
    found: set[str] = set()
    for directory in directories:
        with contextlib.suppress(OSError, msgspec.DecodeError):  # it kept none
            entries = msgspec.json.decode((directory / kept.NAME).read_bytes(), type=dict[str, kept.Entry])
            found |= {one.sha256 for one in entries.values() if one.format != "path" and one.sha256 is not None}
    return {name for name in found if _SHA256.fullmatch(name)}


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
