"""The durable side of an open session: its lease, its state as loaded, and the saves.

Loading replaces: nothing of an earlier session of the process is looked at. Where the home cannot be written the state
lives in memory, and that is one of the notices.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from fleet_rlm.agent.documents import Documents
from fleet_rlm.agent.documents.turn import texts_of as needed_by
from fleet_rlm.sessions.errors import ManifestError, NotSaved, SessionError, TurnCut
from fleet_rlm.sessions.manifest import Revisions
from fleet_rlm.sessions.manifest.revisions import KEPT
from fleet_rlm.sessions.shelf import Entry, Shelf
from fleet_rlm.sessions.state import State, texts_of
from fleet_rlm.sessions.turns import Turn


class Durable:
    """Holds the lease of a session from its making to `release`.

    Args:
        shelf: the sessions of the home.
        found: the entry of a saved session, or the state of a new one.

    Attributes:
        state: the session's state; change it and `save`.
        in_memory: whether this home cannot be written, so that nothing is saved.
        notices: what was found and does not keep the session from being used.

    Raises:
        SessionInUse: another kernel has it open.
        ManifestError: its state cannot be used.
    """

    def __init__(self, shelf: Shelf, found: Entry | State) -> None:
        self._shelf = shelf
        self._revisions: Revisions | None = None
        self._saved: dict[str, Any] | None = None
        self._pruned = -KEPT
        self._lease = shelf.lease(found)
        self.in_memory = False
        self.notices: list[SessionError] = []
        try:
            self._lease.take()
        except OSError as fault:
            self._in_memory(fault)
        try:
            self.state = self._restored(found) if isinstance(found, Entry) else self._made(found)
        except BaseException:
            self._lease.release()
            raise

    @property
    def is_saved(self) -> bool:
        """Whether what is on the disk is all there is."""
        return self._saved is not None and self.state.packed()[0] == self._saved

    def save(self) -> None:
        """Write what has changed since it was last written.

        Raises:
            NotSaved, ManifestConflict: see `Revisions.save`.
        """
        state, blobs = self.state.packed()
        if state == self._saved:
            return
        if self._revisions is None or self.in_memory:
            raise NotSaved(f"session {self.state.name!r} is in memory only; export it to a place that can be written")
        revision = self._revisions.save(state, blobs)
        self._saved = json.loads(json.dumps(state))
        self.state.turns.saved(list(blobs))
        with contextlib.suppress(OSError):  # only what lists tell
            self._shelf.note(self.state, revision.created_at)

    def prune(self) -> None:
        """Remove texts of documents that no revision and no run needs, and halves of cut loads.

        Only while no turn is going on, whose texts no revision names yet. It is done now and then, for it reads what
        is kept; where that cannot be read, or a run does not tell what it needs, all texts stay.
        """
        revisions = self._revisions
        if revisions is None or self.in_memory or not self._lease.is_held or revisions.rev < self._pruned + KEPT:
            return
        self._pruned = revisions.rev
        with contextlib.suppress(OSError, ManifestError):
            if unneeded := self.state.documents.unneeded():
                unneeded -= {text for state in revisions.states() for text in texts_of(state)}
            runs = {self._shelf.home / "runs" / turn.run for turn in self.state.turns if unneeded and turn.run}
            for run in runs:
                needed = needed_by(run) if (run / "events.jsonl").is_file() else set()
                unneeded = unneeded - needed if needed is not None else set()
            for name in unneeded:
                (self.state.documents.directory / name).unlink(missing_ok=True)

    def release(self) -> None:
        """Let others open the session; doing it twice is harmless."""
        self._lease.release()

    def _restored(self, entry: Entry) -> State:
        try:
            self._revisions = self._shelf.revisions(entry)
        except OSError as fault:
            self._in_memory(fault)
            self._revisions = self._shelf.revisions(entry, writable=False)
        loaded = self._revisions.load()
        self.notices += loaded.faults
        self._saved = loaded.revision.state
        state = State.unpacked(self._saved, self._revisions.blob, self._shelf.documents(entry))
        if state.pending is not None:
            question, run, effects = state.pending["question"], state.pending["run"], state.pending["effects"]
            state.turns.put(Turn.ended(question, None, "failed", run, "it was cut off with its kernel", effects))
            state.pending = None
            self.notices.append(TurnCut(question, run))
        return state

    def _made(self, state: State) -> State:
        try:
            self._revisions = self._shelf.revisions(state)
            state.documents = Documents(self._shelf.documents(state))
        except OSError as fault:
            self._in_memory(fault)
        return state

    def _in_memory(self, fault: OSError) -> None:
        if not self.in_memory:
            self.in_memory = True
            text = f"the session is kept in memory only: {self._shelf.home} cannot be written"
            way_out = "export it to a place that can, or set FLEET_HOME"
            self.notices.append(NotSaved(f"{text} ({fault.strerror or fault}); {way_out}"))
