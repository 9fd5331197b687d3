"""The revisions of one session: numbered files that are never overwritten, the highest valid one wins.

Saving is compare-and-swap: who saves says which revision it knows, and a taken number is a conflict. A save is read
back before it counts. Large parts of a state are blobs beside the revisions, named by their hash and written once.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fleet_rlm.sessions.errors import (
    ManifestConflict,
    ManifestError,
    ManifestMissing,
    ManifestTampered,
    ManifestUnreadable,
    NotSaved,
)
from fleet_rlm.sessions.manifest.envelope import Revision, Signer, opened, sealed
from fleet_rlm.sessions.manifest.storage import Storage

KEPT = 10
"""Revisions that stay at least; older ones are removed once as many have come together."""

_NAME = re.compile(r"manifest-(\d{8,})\.json")
_BLOB = re.compile(r"blob-([0-9a-f]{64})")


@dataclass(frozen=True)
class Loaded:
    """What was found.

    Attributes:
        revision: the highest valid one.
        faults: what was wrong with each higher one, newest first.
    """

    revision: Revision
    faults: tuple[ManifestError, ...]


class Revisions:
    """The saved states of one session.

    Args:
        storage: where they lie.
        signer: the home's key.
        session: the session's id.
        blobs_of: names the blobs a state needs, so that the others can go.
    """

    def __init__(
        self, storage: Storage, signer: Signer, session: str, blobs_of: Callable[[dict[str, Any]], Iterable[str]]
    ) -> None:
        self._storage = storage
        self._signer = signer
        self._session = session
        self._blobs_of = blobs_of
        self._head: Revision | None = None
        self._seen = 0

    @property
    def rev(self) -> int:
        """Number of the revision this object has loaded or saved last; 0 before the first."""
        return self._head.rev if self._head else 0

    def load(self) -> Loaded:
        """The newest state that is good.

        Raises:
            ManifestMissing: there is no revision at all.
            ManifestTooNew: the newest is of a later schema: going on from an older one would fork the session.
            ManifestUnreadable: the storage cannot be read, or no revision is whole.
            ManifestTampered: none is ours.
        """
        numbers = self._numbers()
        if not numbers:
            raise ManifestMissing(
                f"the saved state of session {self._session} is not in {self._storage}; put it back from a "
                "backup, import an export, or delete the session"
            )
        faults: list[ManifestError] = []
        for rev in reversed(numbers):
            data = self._read(_name(rev))  # a disk that refuses is not a file that is damaged: no older one instead
            try:
                revision = opened(self._signer, self._session, rev, data)
            except (ManifestUnreadable, ManifestTampered) as fault:
                faults.append(fault)
            else:
                self._head, self._seen = revision, numbers[-1]
                return Loaded(revision, tuple(faults))
        worst = next((fault for fault in faults if isinstance(fault, ManifestTampered)), faults[0])
        raise type(worst)(f"{worst}; no revision of it is good, so none was touched: import an export of the session")

    def save(self, state: dict[str, Any], blobs: dict[str, bytes] | None = None) -> Revision:
        """Write the next revision, after the blobs it needs.

        Args:
            blobs: hash to content of those that may not be there yet.

        Raises:
            ManifestConflict: somebody else has saved since this object loaded or saved.
            NotSaved: it cannot be written, or what was written is not what is read.
        """
        try:
            return self._save(state, blobs or {})
        except OSError as error:
            raise NotSaved(
                f"session {self._session} cannot be saved in {self._storage} ({error.strerror or error}); "
                "its state is in memory and is saved with the next turn, or export it elsewhere"
            ) from error

    def _save(self, state: dict[str, Any], blobs: dict[str, bytes]) -> Revision:
        newest = max(self._numbers(), default=0)
        if newest > self._seen:
            raise self._conflict(newest)
        rev = newest + 1
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        previous = self._head.sha256 if self._head else None
        data = sealed(self._signer, self._session, rev, previous, at, state)
        there = set(self._storage.names())
        for digest, content in blobs.items():
            if f"blob-{digest}" not in there:
                with contextlib.suppress(FileExistsError):
                    self._storage.create(f"blob-{digest}", content)
        try:
            self._storage.create(_name(rev), data)
        except FileExistsError:
            raise self._conflict(rev) from None
        if self._storage.read(_name(rev)) != data:
            self._seen = rev
            raise NotSaved(
                f"revision {rev} of session {self._session} is not read as it was written; its storage is unreliable"
            )
        self._head, self._seen = opened(self._signer, self._session, rev, data), rev
        self._prune()
        return self._head

    def blob(self, digest: str) -> bytes:
        """A blob of a state.

        Raises:
            ManifestUnreadable: it cannot be read.
            ManifestTampered: it is not what its name says.
        """
        name, way_out = f"blob-{digest}", "put it back from a backup, or import an export of the session"
        try:
            data = self._read(name)
        except ManifestUnreadable as fault:
            if not isinstance(fault.__cause__, FileNotFoundError):
                raise
            raise ManifestUnreadable(
                f"a part of session {self._session} is gone: {name} is not in {self._storage}; {way_out}"
            ) from fault
        if hashlib.sha256(data).hexdigest() != digest:
            raise ManifestTampered(
                f"a part of session {self._session} was changed by somebody else: {name} in {self._storage}; {way_out}"
            )
        return data

    def states(self) -> list[dict[str, Any]]:
        """The states of all revisions there are, oldest first.

        Raises:
            ManifestError: one of them cannot be used, so that nobody knows what it needs.
        """
        return self._states(self._numbers())

    def _states(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        return [opened(self._signer, self._session, rev, self._read(_name(rev))).state for rev in numbers]

    def _read(self, name: str) -> bytes:
        try:
            return self._storage.read(name)
        except OSError as error:
            raise ManifestUnreadable(
                f"{name} of session {self._session} cannot be read now ({error.strerror or error}); nothing was "
                "changed, try again"
            ) from error

    def _numbers(self) -> list[int]:
        try:
            found = [match for name in self._storage.names() if (match := _NAME.fullmatch(name))]
        except OSError as error:
            raise ManifestUnreadable(
                f"{self._storage} cannot be read now ({error.strerror}); nothing was changed, try again"
            ) from error
        return sorted(int(match[1]) for match in found)

    def _conflict(self, rev: int) -> ManifestConflict:
        try:
            writer = opened(self._signer, self._session, rev, self._read(_name(rev))).writer
        except ManifestError:
            return ManifestConflict(self._session, rev, "somebody else")
        return ManifestConflict(self._session, rev, f"process {writer['pid']} on {writer['host']}")

    def _prune(self) -> None:
        """Remove what no kept revision needs. A file that cannot be removed stays: the next save tries again."""
        numbers = self._numbers()
        old, kept = numbers[:-KEPT], numbers[-KEPT:]
        if len(old) < KEPT:  # rarely and several at once, because it reads what is kept
            return
        with contextlib.suppress(OSError):
            for rev in old:
                self._storage.delete(_name(rev))
        try:
            states = self._states(kept)
        except ManifestError:
            return  # what a damaged revision needs is not known
        needed = {digest for state in states for digest in self._blobs_of(state)}
        with contextlib.suppress(OSError):
            for name in self._storage.names():
                if (match := _BLOB.fullmatch(name)) and match[1] not in needed:
                    self._storage.delete(name)


def _name(rev: int) -> str:
    return f"manifest-{rev:08d}.json"
