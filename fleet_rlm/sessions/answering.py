"""Answering: the turns of an open session, one at a time, each a run in the session's surroundings.

The beginning and the end of a turn are saved before the run is over, so that whoever has the answer can close the
kernel. What cannot be saved is told in the run and kept in memory, and the next save writes all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from fleet_rlm.agent import resume as going_on
from fleet_rlm.agent.request import Request
from fleet_rlm.agent.runtime import begin
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.core.events import Note, RunEnd
from fleet_rlm.core.run import Run
from fleet_rlm.sessions.artifacts import landed
from fleet_rlm.sessions.durable import Durable
from fleet_rlm.sessions.errors import SessionBusy, SessionError
from fleet_rlm.sessions.recording import Recording
from fleet_rlm.sessions.sandbox import SessionSandbox
from fleet_rlm.sessions.turns import turn_of
from fleet_rlm.sessions.values import entries_of
from fleet_rlm.sessions.volumes import Volume


class Answering:
    """What one session is answering, and what it has answered last.

    Args:
        durable: where its state is saved.
        workspace: what its agent works with.
        volume: where files that runs make land.
        box: its sandbox.
        recording: its rows in the store, if it has any.
        lock: held while its state changes.
        values: what its questions were asked over, and what later ones see too.
    """

    def __init__(
        self,
        durable: Durable,
        workspace: Workspace,
        volume: Volume,
        box: SessionSandbox,
        recording: Recording | None,
        lock: threading.RLock,
        values: dict[str, Any],
    ) -> None:
        self._durable = durable
        self._state = durable.state
        self._workspace = workspace
        self._volume = volume
        self._box = box
        self._recording = recording
        self._lock = lock
        self.values = values
        self._fresh: frozenset[str] = frozenset()  # what the latest question was given
        self._untold: list[SessionError] = []
        self._run: Run | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a turn is going on."""
        return self._run is not None and self._run.status == "running"

    def check_free(self) -> None:
        """Raise SessionBusy while a turn is going on."""
        if self._run is not None and self.is_busy:
            raise SessionBusy(
                f"session {self._state.name!r} is answering {self._run.task[:60]!r}; wait for it, stop it, or ask "
                "outside of the session (%%fleet --no-session)"
            )

    def tell(self, notices: Sequence[SessionError]) -> None:
        """Have the next run say what was found."""
        self._untold += notices

    def start(self, asked: Request, given: dict[str, Any]) -> Run:
        """Begin a turn, given these values anew."""
        self._fresh = frozenset(given)
        self.values.update(given)
        self.recall(len(self._state.turns))
        opened = functools.partial(self._box.opened, fresh=self._fresh)
        run = begin(asked, workspace=self._workspace, sandbox=opened, session=self._state.id, ended=self._ended)
        return self._begun(run)

    def go_on(self, run: str | Run, do: Callable[..., Run]) -> Run:
        """Go on with a turn, or branch it, as `do` does with the surroundings it is given."""
        identity, turns = run if isinstance(run, str) else run.id, self._state.turns
        place = next((place for place, turn in enumerate(turns) if turn.run == identity), None)
        if place is None:
            raise UserError(
                f"session {self._state.name!r} has no turn with the run {identity}; session.turns lists them"
            )
        self.recall(place)
        self._state.effects.recall(identity, turns[place].effects)
        around = going_on.Surroundings(workspace=self._workspace, sandbox=self._box.opened, ended=self._ended)
        return self._begun(do(around=around))

    def recall(self, count: int) -> None:
        """Have the model told of the first `count` turns."""
        self._workspace.history = [turn.exchange() for turn in self._state.turns[:count]]

    def stop(self, seconds: float) -> None:
        """Stop a turn that is going on, and wait so long for its end."""
        if self._run is not None and self.is_busy:
            self._run.stop()
            with contextlib.suppress(FleetError, TimeoutError):
                self._run.wait(seconds)

    def _begun(self, run: Run) -> Run:
        self._run, self._state.redactor = run, run.log.redactor
        if self._recording is not None:
            self._recording.begun(run)
        for notice in self._untold:
            run.log.emit(Note(level="warning", text=str(notice)))
        self._untold = []
        self._state.pending = {"question": run.task, "run": run.id}
        self._save_or_tell(run)
        return run

    async def _ended(self, run: Run, end: RunEnd) -> None:
        await asyncio.to_thread(self._keep, run, end)

    def _keep(self, run: Run, end: RunEnd) -> None:
        """The outcome is known: keep the files the run made, and the turn."""
        with self._lock:
            made, faults = landed(run, self._volume)
            for fault in faults:
                run.log.emit(Note(level="warning", text=fault))
            state = self._state
            state.artifacts += made
            state.turns.put(turn_of(run, end, state.effects.of(run.id)))
            state.pending, state.sandbox = None, self._box.state()
            state.values = entries_of(run, self.values, state.values, self._fresh)
            self._save_or_tell(run)
        if self._recording is not None:
            self._recording.ended(run)

    def _save_or_tell(self, run: Run) -> None:
        try:
            with self._lock:
                self._durable.save()  # also what ends after a close that did not wait for it
        except SessionError as fault:
            run.log.emit(Note(level="warning", text=str(fault)))
