"""Session: a conversation with memory, documents and a sandbox, which survives the kernel it was held in.

A turn is a run in the session's surroundings. Its beginning and its end are saved as revisions of the session's
manifest before the run is over, so that whoever has the answer can close the kernel. What cannot be saved is told in
the run and kept in memory, and the next save writes all of it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fleet_rlm.agent import resume as going_on
from fleet_rlm.agent.approval import check_answerable
from fleet_rlm.agent.buffers import Buffers
from fleet_rlm.agent.context import named
from fleet_rlm.agent.documents import Document, Documents
from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.agent.plan import Plan
from fleet_rlm.agent.request import OPTIONS, Request, check_options, request
from fleet_rlm.agent.roots import Roots
from fleet_rlm.agent.runtime import begin, in_session
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.core.events import Note, RunEnd
from fleet_rlm.core.loop import on_background_loop, run_sync
from fleet_rlm.core.run import Run
from fleet_rlm.sessions.archive import exported
from fleet_rlm.sessions.artifacts import landed
from fleet_rlm.sessions.durable import Durable
from fleet_rlm.sessions.errors import (
    SessionBusy,
    SessionClosed,
    SessionError,
    SessionExists,
    SessionNotFound,
    ValuesGone,
)
from fleet_rlm.sessions.recording import Recording
from fleet_rlm.sessions.sandbox import SessionSandbox
from fleet_rlm.sessions.shelf import Entry, Shelf, checked_name
from fleet_rlm.sessions.turns import Turns, turn_of
from fleet_rlm.sessions.values import entries_of, recalled
from fleet_rlm.sessions.volumes import Quota, Volume
from fleet_rlm.sessions.volumes.volume import Texts

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Scope

CLOSING_SECONDS = 10
"""How long closing waits for a turn it has stopped."""


class Session:
    """An open session: the one of this name, or a new one.

    Args:
        name: how you call it.
        volume: a volume by name, to share its files with other sessions; by default one of the session's own.
        sandbox: where generated code of its turns runs, "local" or "process"; by default what FLEET_SANDBOX says.
        quota: what its volume may hold.
        home: where sessions lie; by default FLEET_HOME.
        store: the store as a user of it sees it; by default the configured one (SQLite in the home) as its local user.
        record: whether its rows are written there; a server writes those of sessions in its kernels itself.

    Attributes:
        id: never changes, whatever the name.
        notices: what was found on opening and does not keep the session from going on, such as a damaged revision, a
            sandbox that is gone, or a home that cannot be written; each is a typed error.
        values: what its questions were asked over, by name; later turns see it too. Delete what they should not.

    Raises:
        SessionInUse: another kernel has it open.
        ManifestMissing, ManifestUnreadable, ManifestTampered, ManifestTooNew: its state cannot be used; nothing was
            overwritten, and the message says the way out.
    """

    def __init__(
        self,
        name: str,
        *,
        volume: str | None = None,
        sandbox: str | None = None,
        quota: Quota | None = None,
        home: Path | None = None,
        store: Scope | None = None,
        record: bool = True,
    ) -> None:
        shelf = Shelf(home)
        try:
            entry: Entry | None = shelf.find(checked_name(name))
        except SessionNotFound:
            entry = None
        if entry is not None and volume is not None and volume != entry.volume:
            raise UserError(f"session {name!r} has the volume {entry.volume!r}, which cannot be exchanged")
        found = entry or shelf.new(name, volume)
        self._shelf = shelf
        self._backend = sandbox
        self._lock = threading.RLock()
        self._running: Run | None = None
        self._fresh: frozenset[str] = frozenset()  # what the latest question was given
        self._closed = False
        self.volume: Volume = shelf.volume(found.volume, quota)
        self._durable = Durable(shelf, found)
        self._state = self._durable.state
        self.notices = list(self._durable.notices)
        self.values, lost = recalled(self._state.values, shelf.home)
        if lost:
            self.notices.append(ValuesGone(lost))
        self._untold = list(self.notices)
        self._box = SessionSandbox(self._state.sandbox)
        if self._box.gone is not None:  # which tells it itself when the next one is there
            self.notices.append(self._box.gone)
        self._state.memory.changed = self._memory_changed
        self.workspace = Workspace(
            documents=self._state.documents,
            buffers=self._state.buffers,
            effects=self._state.effects,
            memory=self._state.memory,
            files=Texts(self.volume, "memory"),
        )
        recorded = record and not self._durable.in_memory
        self._recording = Recording(self._state, shelf.home, store) if recorded else None
        if not self._durable.in_memory:
            self._save_or_notice()
        _open.add(self)

    @classmethod
    def open(cls, name: str, **options: Any) -> Session:
        """The session of this name; options as above. Raises SessionNotFound if there is none."""
        Shelf(options.get("home")).find(checked_name(name))
        return cls(name, **options)

    @classmethod
    def new(cls, name: str, **options: Any) -> Session:
        """A session that did not exist; options as above. Raises SessionExists if it did."""
        if Shelf(options.get("home")).has(checked_name(name)):
            raise SessionExists(f"there is a session {name!r} already; open it, or take another name")
        return cls(name, **options)

    @classmethod
    def import_(cls, path: str | Path, name: str | None = None, *, home: Path | None = None, **options: Any) -> Session:
        """The session of a file that `export` wrote, as a new session of this home.

        Args:
            name: how to call it; by default as in the file.

        Raises:
            ArchiveError: it is no such file, or one that must not be unpacked; nothing was imported.
            SessionExists: the name is taken here.
        """
        from fleet_rlm.sessions.archive import imported

        return cls(imported(Shelf(home), Path(path), name).name, home=home, **options)

    @property
    def id(self) -> str:
        """The session's id."""
        return self._state.id

    @property
    def name(self) -> str:
        """How you call it."""
        return self._state.name

    @property
    def turns(self) -> Turns:
        """Questions and answers so far, oldest first; `turns.frame()` is a DataFrame of them."""
        return self._state.turns

    @property
    def memory(self) -> CoreMemory:
        """What stands in every prompt; `memory.edit(section, text, mode)` changes it."""
        return self._state.memory

    @property
    def documents(self) -> Documents:
        """The loaded documents."""
        return self._state.documents

    @property
    def buffers(self) -> Buffers:
        """Named lists of texts that the agent collects."""
        return self._state.buffers

    @property
    def artifacts(self) -> list[dict[str, Any]]:
        """Files that its runs left in the volume: path, mime, bytes, sha256, and the run and span that made them."""
        return [dict(artifact) for artifact in self._state.artifacts]

    @property
    def is_answering(self) -> bool:
        """Whether a turn is going on."""
        return self._running is not None and self._running.status == "running"

    @property
    def is_saved(self) -> bool:
        """Whether what is on the disk is all there is."""
        return self._durable.is_saved

    def ask(self, question: str, **options: Any) -> Run:
        """Ask, and block until it is answered. Options as of `fleet_rlm.run`; values of earlier turns are still there.

        Raises:
            UserError, ModelError, SessionBusy: it cannot be asked; nothing was started.
            FleetError: the turn ended without an answer; `error.run` holds the trace.
        """
        check_answerable(options)
        run = self.start(question, **options)
        try:
            return run.wait()
        except KeyboardInterrupt:
            run.stop()
            raise

    async def aask(self, question: str, **options: Any) -> Run:
        """`ask` for async code: cancelling it stops the turn and keeps its trace."""
        check_answerable(options)
        starting = asyncio.ensure_future(asyncio.to_thread(self.start, question, **options))
        try:
            run = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(FleetError):
                (await starting).stop()
            raise
        try:
            return await run
        except asyncio.CancelledError:
            run.stop()
            raise

    def start(self, question: str, **options: Any) -> Run:
        """Start a turn and return its run at once. Raises as `ask` before it is answered."""
        with self._lock:
            asked, given = self._request(question, options)
            self._recall(len(self.turns))
            opened = functools.partial(self._box.opened, fresh=frozenset(given))
            self.values |= given
            self._fresh = frozenset(given)
            run = begin(asked, workspace=self.workspace, sandbox=opened, session=self.id, ended=self._ended)
            self._begun(run)
            self._state.pending = {"question": run.task, "run": run.id}
            self._save_or_tell(run)
        return run

    def plan(self, question: str, **options: Any) -> Plan:
        """What `ask` would do and send first: the conversation and the memory too. No model is called."""
        with self._lock:
            asked, _ = self._request(question, options)
            self._recall(len(self.turns))
            return Plan(in_session(asked, self.workspace), self.workspace, self.name)

    def resume(self, run: str | Run, **changes: Any) -> Run:
        """Go on with a turn that has no answer, as `fleet_rlm.resume`; its outcome takes the place of the old one."""
        return self._go_on(run, functools.partial(going_on.resume, run, **changes))

    def branch(self, run: str | Run, span: str, **changes: Any) -> Run:
        """Try a turn again from one of its spans on, as `fleet_rlm.branch`; it becomes the latest turn."""
        return self._go_on(run, functools.partial(going_on.branch, run, span, **changes))

    def _go_on(self, run: str | Run, do: Callable[..., Run]) -> Run:
        with self._lock:
            self._check_free()
            identity = run if isinstance(run, str) else run.id
            places = [place for place, turn in enumerate(self.turns) if turn.run == identity]
            if not places:
                raise UserError(f"session {self.name!r} has no turn with the run {identity}; session.turns lists them")
            self._recall(places[0])
            self._state.effects.recall(identity, self.turns[places[0]].effects)
            around = going_on.Surroundings(workspace=self.workspace, sandbox=self._box.opened, ended=self._ended)
            going = do(around=around)
            self._begun(going)
            self._state.pending = {"question": going.task, "run": going.id}
            self._save_or_tell(going)
            return going

    def load(self, where: str | Path, alias: str = "") -> Document:
        """Load a document for all turns to come: a file, a directory, or what an http(s) URL gives.

        Raises:
            DocumentError: it cannot be read as text; says why.
        """
        return self._loaded(lambda loader: loader.load(_place(where), alias))

    def load_repository(self, repo_url: str | Path, repo_ref: str = "", alias: str = "") -> Document:
        """Load the text files of a git repository, by https URL or path, at a branch, tag or commit.

        Raises:
            DocumentError: it cannot be had, or holds too much; says why.
        """
        return self._loaded(lambda loader: loader.load_repository(_place(repo_url), repo_ref, alias))

    def _loaded(self, load: Callable[[Loader], Coroutine[Any, Any, Document]]) -> Document:
        with self._lock:
            self._check_free()
            anywhere = Roots("/")  # the user names it, not the agent
            document = run_sync(load(Loader(self.documents, anywhere, self.workspace.fetcher, taken=self.values)))
            self._save_or_notice()
            self._durable.prune()
        return document

    def rename(self, name: str) -> None:
        """Give it another name. Raises SessionExists, NotSaved."""
        name = checked_name(name)
        with self._lock:
            if name != self.name and self._shelf.has(name):
                raise SessionExists(f"there is a session {name!r} already; take another name, or delete that one")
            before, self._state.name = self._state.name, name
            try:
                self.save()
            except SessionError:
                self._state.name = before
                raise
            if self._recording is not None:
                self._recording.renamed()

    def save(self) -> None:
        """Write what has changed since it was last written; every turn does so by itself.

        Raises:
            NotSaved: it cannot be written; nothing is lost as long as this kernel lives.
            ManifestConflict: somebody else has saved this session meanwhile.
            SessionClosed: it is closed, and another kernel may have it open.
        """
        with self._lock:
            self._check_open()
            self._durable.save()

    def export(self, path: str | Path) -> Path:
        """Write all of it into one file: turns, memory, documents, buffers, files of the volume, logs of its runs; no
        key and no value of this kernel. Documents and files are the user's own and stay as they are.

        Raises:
            ArchiveError: the file would lie in what is exported, is something else, or cannot be written.
        """
        with self._lock:
            return exported(self._state, self.volume, self._shelf, Path(path))

    def close(self) -> None:
        """Stop a turn that is going on, end the sandbox, save, and let others open the session. Harmless twice."""
        if self._closed:
            return
        if self._running is not None and self.is_answering:
            self._running.stop()
            with contextlib.suppress(FleetError, TimeoutError):
                self._running.wait(CLOSING_SECONDS)
        with self._lock:
            self._closed = True
            _open.discard(self)
            try:
                if not on_background_loop():
                    run_sync(self._box.aclose("the session was closed in between"))
                    self._state.sandbox = self._box.state()
                if not self._durable.in_memory:
                    self._durable.save()
                if not self.is_answering:
                    self._durable.prune()
            finally:
                self._durable.release()
                if self._recording is not None and not on_background_loop():
                    self._recording.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"turns={len(self.turns)}, documents={len(self.documents)}"
        return f"Session({self.name!r}, {state}, volume={self.volume.name!r})"

    def _request(self, question: str, options: dict[str, Any]) -> tuple[Request, dict[str, Any]]:
        self._check_free()
        check_options("session.ask", options, OPTIONS)
        given = named(options.pop("context", None))
        if self._backend is not None:
            options.setdefault("sandbox", self._backend)
        return request(question, context={**self.values, **given} or None, **options), given

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed(f"session {self.name!r} is closed; open it again: fleet_rlm.Session({self.name!r})")

    def _check_free(self) -> None:
        self._check_open()
        if self._running is not None and self.is_answering:
            raise SessionBusy(
                f"session {self.name!r} is answering {self._running.task[:60]!r}; wait for it, stop it, or ask outside "
                "of the session (%%fleet --no-session)"
            )

    def _recall(self, count: int) -> None:
        """The conversation as a model is told of it: the first `count` turns."""
        self.workspace.history = [turn.exchange() for turn in self.turns[:count]]

    def _begun(self, run: Run) -> None:
        self._running, self._state.redactor = run, run.log.redactor
        if self._recording is not None:
            self._recording.begun(run)
        for notice in self._untold:
            run.log.emit(Note(level="warning", text=str(notice)))
        self._untold = []

    async def _ended(self, run: Run, end: RunEnd) -> None:
        await asyncio.to_thread(self._keep, run, end)

    def _keep(self, run: Run, end: RunEnd) -> None:
        """The outcome is known: keep the files the run made, and the turn."""
        with self._lock:
            made, faults = landed(run, self.volume)
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

    def _memory_changed(self) -> None:
        self._check_open()
        self._save_or_notice()

    def _save_or_notice(self) -> None:
        try:
            self.save()
        except SessionError as fault:
            self.notices.append(fault)
            self._untold.append(fault)


def _place(where: str | Path) -> str:
    """A URL as it is, and the whole of a path."""
    is_whole = isinstance(where, str) and ("://" in where or not where)
    return str(where) if is_whole else os.path.abspath(os.path.expanduser(where))


_open: weakref.WeakSet[Session] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A kernel that ends in order loses nothing that was changed between turns."""
    for session in list(_open):
        with contextlib.suppress(FleetError, OSError):
            session.save()
