"""Session: a conversation with memory, documents and a sandbox, which survives the kernel it was held in.

This is its face. Its turns are `answering`, its state and the saves `durable`, its rows in the store `recording`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fleet_rlm.agent import resume as going_on
from fleet_rlm.agent.approval import check_answerable
from fleet_rlm.agent.buffers import Buffers
from fleet_rlm.agent.context import named
from fleet_rlm.agent.documents import Document, Documents
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.agent.plan import Plan
from fleet_rlm.agent.request import OPTIONS, Request, check_options, request
from fleet_rlm.agent.runtime import in_session
from fleet_rlm.agent.waiting import await_for, wait_for
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.core.loop import on_background_loop, run_sync
from fleet_rlm.core.run import Run
from fleet_rlm.sessions.answering import Answering
from fleet_rlm.sessions.archive import exported
from fleet_rlm.sessions.durable import Durable
from fleet_rlm.sessions.errors import SessionClosed, SessionError, SessionExists, SessionNotFound, ValuesGone
from fleet_rlm.sessions.loading import UserLoader
from fleet_rlm.sessions.recording import Recording
from fleet_rlm.sessions.sandbox import SessionSandbox
from fleet_rlm.sessions.shelf import Entry, Shelf, checked_name
from fleet_rlm.sessions.turns import Turns
from fleet_rlm.sessions.values import recalled
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
        self._closed = False
        self.volume: Volume = shelf.volume(found.volume, quota)
        self._durable = Durable(shelf, found)
        self._state = self._durable.state
        self.notices = list(self._durable.notices)
        values, lost = recalled(self._state.values, shelf.home)
        if lost:
            self.notices.append(ValuesGone(lost))
        self._box = SessionSandbox(self._state.sandbox)
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
        self._answering = Answering(
            self._durable, self.workspace, self.volume, self._box, self._recording, self._lock, values
        )
        self._answering.tell(self.notices)
        if self._box.gone is not None:  # which tells its runs itself when the next one is there
            self.notices.append(self._box.gone)
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
            raise SessionExists(f"there is a session {name!r} already", "open it, or take another name")
        return cls(name, **options)

    @classmethod
    def list(cls, *, home: Path | None = None) -> Sequence[Entry]:
        """The sessions there are, the one saved last first: id, name, volume, turns and when each was saved."""
        return Shelf(home).entries()

    @classmethod
    def delete(cls, name: str, *, home: Path | None = None) -> Entry:
        """Delete the session of a name or an id for good, with its documents, its runs and a volume of its own.

        Returns:
            what it was.

        Raises:
            SessionNotFound: there is none.
            SessionInUse: somebody has it open.
            SessionError: something of it cannot be removed.
        """
        from fleet_rlm.sessions.deleting import delete_session

        return delete_session(name, home=home)

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
    def values(self) -> dict[str, Any]:
        """What its questions were asked over, by name; later turns see it too. Delete what they should not."""
        return self._answering.values

    @property
    def artifacts(self) -> Sequence[dict[str, Any]]:
        """Files that its runs left in the volume: path, mime, bytes, sha256, and the run and span that made them."""
        return [dict(artifact) for artifact in self._state.artifacts]

    @property
    def is_answering(self) -> bool:
        """Whether a turn is going on."""
        return self._answering.is_busy

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
        return wait_for(functools.partial(self.start, question, **options))

    async def aask(self, question: str, **options: Any) -> Run:
        """`ask` for async code: cancelling it stops the turn and keeps its trace."""
        check_answerable(options)
        return await await_for(functools.partial(self.start, question, **options))

    def start(self, question: str, **options: Any) -> Run:
        """Start a turn and return its run at once. Raises as `ask` before it is answered."""
        with self._lock:
            asked, given = self._request(question, options)
            return self._answering.start(asked, given)

    def plan(self, question: str, **options: Any) -> Plan:
        """What `ask` would do and send first: the conversation and the memory too. No model is called."""
        with self._lock:
            asked, _ = self._request(question, options)
            self._answering.recall(len(self.turns))
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
            return self._answering.go_on(run, do)

    def load(self, where: str | Path, alias: str = "") -> Document:
        """Load a document for all turns to come: a file, a directory, or what an http(s) URL gives.

        Raises:
            DocumentError: it cannot be read as text; says why.
        """
        return self._loaded(lambda loader: loader.load(where, alias))

    def load_repository(self, repo_url: str | Path, repo_ref: str = "", alias: str = "") -> Document:
        """Load the text files of a git repository, by https URL or path, at a branch, tag or commit.

        Raises:
            DocumentError: it cannot be had, or holds too much; says why.
        """
        return self._loaded(lambda loader: loader.load_repository(repo_url, repo_ref, alias))

    def _loaded(self, load: Callable[[UserLoader], Document]) -> Document:
        with self._lock:
            self._check_free()
            document = load(UserLoader(self.workspace, self.values))
            self._save_or_notice()
            self._durable.prune()
        return document

    def rename(self, name: str) -> None:
        """Give it another name. Raises SessionExists, NotSaved."""
        name = checked_name(name)
        with self._lock:
            if name != self.name and self._shelf.has(name):
                raise SessionExists(f"there is a session {name!r} already", "take another name, or delete that one")
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
        self._answering.stop(CLOSING_SECONDS)
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
        self._answering.check_free()

    def _memory_changed(self) -> None:
        self._check_open()
        self._save_or_notice()

    def _save_or_notice(self) -> None:
        try:
            self.save()
        except SessionError as fault:
            self.notices.append(fault)
            self._answering.tell([fault])


_open: weakref.WeakSet[Session] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A kernel that ends in order loses nothing that was changed between turns."""
    for session in list(_open):
        with contextlib.suppress(FleetError, OSError):
            session.save()
