"""The one log a run writes, and its subscribers.

Whoever does something emits an event here; nobody keeps a second history. The log assigns `seq` and `ts`, redacts
secrets, moves oversized values to artifacts, appends to the spool file if there is one, and calls the subscribers in
order. Emitting is thread-safe; subscribers are called under the lock and must only take note (the widget batches, the
live view sets a flag). `span` opens a timed piece of work below the span of the calling context.

A log on disk is the run's journal: `reopen` goes on with one whose process is gone. Work that it holds is then given by
`recorded`, and what was written once is not written again. One process at a time may write it: it holds a lock that
ends with the process.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.events import Artifact, Event, Note, SpanEnd, SpanStart, SpanType, decode, encode
from fleet_rlm.core.journal import Edit, Journal, NotRecorded, Record, rebuilt_span
from fleet_rlm.core.redaction import Redactor
from fleet_rlm.core.span import CURRENT, Span, current_span
from fleet_rlm.core.spool import Spool

__all__ = ["MAX_VALUE", "PREVIEW", "RunLog", "Span", "Subscriber", "current_span"]

MAX_VALUE = 32_768
"""Characters of one field kept in an event; what is longer becomes an artifact with a preview (design 3.1)."""

PREVIEW = 2_000

Subscriber = Callable[[Event], None]

logger = logging.getLogger("fleet_rlm")


class RunLog:
    """An append-only, gap-free sequence of events of one run, in memory and optionally in a JSONL spool.

    Args:
        run: the run's id, written on every event.
        directory: where `events.jsonl` and artifacts are kept; none keeps everything in memory, and oversized
            values stay in the events.
        redactor: removes secrets from every text before any subscriber sees it.
    """

    def __init__(self, run: str, directory: Path | None = None, redactor: Redactor | None = None) -> None:
        self.run = run
        self.directory = directory
        self._redactor = redactor or Redactor()
        self._events: list[Event] = []
        self._subscribers: list[Subscriber] = []
        self._lock = threading.RLock()
        self._span_ids = itertools.count(1)
        self._artifact_ids = itertools.count(1)
        self._epoch = time.time_ns() // 1000 - _steady()  # the clock is asked once: it may jump while the run goes on
        self.is_closed = False
        self.journal: Journal | None = None
        self._spool: Spool | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # prompts and data are the user's own
            self._spool = Spool(directory / "events.jsonl")

    @classmethod
    def reopen(cls, directory: Path, edit: Edit | None = None, known: Sequence[Event] = ()) -> RunLog:
        """The log in a run's directory, to be gone on with; a last line cut in mid-write is taken off the file.

        Args:
            edit: what is changed where the run goes on.
            known: the events as this process still has them, should the disk have been too full for the last ones.

        Raises:
            UserError: another process writes it, or it is not a whole log.
        """
        path = directory / "events.jsonl"
        if not path.is_file():
            raise UserError(f"there is no log of a run in {directory}")
        try:
            spool = Spool(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        try:
            with open(path, "rb") as lines:
                log = cls.read(line for line in lines if line.endswith(b"\n"))
            spool.cut_to_whole_lines()
            for event in known[len(log) :]:
                spool.write(encode(event))
                log._events.append(event)
        except ValueError as error:
            spool.close()
            raise UserError(f"{path} is not a complete fleet-rlm log: {error}") from error
        except OSError as error:
            spool.close()
            raise UserError(f"{path} cannot be gone on with: {error.strerror}") from error
        log.directory, log._spool, log.is_closed = directory, spool, False
        if log._events:  # nothing goes on before it began, where the clock was set back in between
            log._epoch = max(log._epoch, log._events[-1].ts - _steady())
        log.journal = Journal(log._events, directory, edit)
        taken = [int(span[1:]) for span in log.journal.tree.spans if span[1:].isdecimal()]
        log._span_ids = itertools.count(max(taken, default=0) + 1)
        kept = [int(artifact[1:]) for artifact in log.journal.tree.artifacts if artifact[1:].isdecimal()]
        log._artifact_ids = itertools.count(max(kept, default=0) + 1)
        return log

    @classmethod
    def read(cls, lines: Iterator[bytes]) -> RunLog:
        """A closed log from JSONL lines; a last line that was cut in mid-write, as by a crash, is left out.

        Raises:
            ValueError: a line is not an event or the sequence has a gap; the message says which line.
        """
        log: RunLog | None = None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                event = decode(line)
            except (ValueError, msgspec.DecodeError) as error:
                if log is not None and not line.endswith(b"\n"):
                    break
                raise ValueError(f"line {number} is not a fleet-rlm event: {error}") from error
            log = log or cls(event.run)
            if event.seq != len(log._events):
                raise ValueError(f"line {number} has seq {event.seq} where {len(log._events)} was due; events are lost")
            log._events.append(event)
        if log is None:
            raise ValueError("the log holds no event, so there is nothing to go on with; ask again")
        log.is_closed = True
        return log

    @property
    def redactor(self) -> Redactor:
        """What knows the secrets of this run, for whoever keeps a text of it elsewhere."""
        return self._redactor

    def redact(self, redactor: Redactor) -> None:
        """Remove these secrets from now on."""
        self._redactor = redactor

    def emit(self, event: Event) -> Event:
        """Accept one event; returns it as written: numbered, stamped, redacted.

        What the journal holds already is not written a second time.
        """
        with self._lock:
            event, line = self._redactor.written(self._numbered(msgspec.structs.replace(event)))
            if self.journal is not None and (rebuilt_span() is not None or self.journal.was_told(event)):
                return event
            if len(line) > MAX_VALUE:
                event = self._numbered(self._bounded(event))  # again: its artifacts went before it
                line = encode(event)
            self._events.append(event)
            fault = self._write(line)
            for subscriber in tuple(self._subscribers):
                try:
                    subscriber(event)
                except Exception:
                    self._subscribers.remove(subscriber)
                    logger.exception("a subscriber of run %s failed and is not told of further events", self.run)
            if fault is not None:
                self._lose_spool(fault)
            return event

    def _numbered(self, event: Event) -> Event:
        """The event in its place: in this run, after what was written, at this time, in the current span."""
        event.run, event.seq, event.ts = self.run, len(self._events), self._epoch + _steady()
        if event.span is None:
            event.span = self._here()
        return event

    def recorded(self, type: SpanType, name: str = "", key: str | None = None) -> Record | None:
        """What the journal holds of this work, below the current span; whoever gets it must use it, once.

        Args:
            key: what is asked, where the work may run beside other such work.
        """
        if self.journal is None:
            return None
        again = rebuilt_span()
        return self.journal.take(again or self._here(), type, name, key, rebuilding=again is not None)

    def is_recorded(self, type: SpanType, name: str) -> bool:
        """Whether the journal holds work of this name that comes next below the current span."""
        return self.journal is not None and self.journal.holds(self._here(), type, name)

    def edit(self, type: SpanType, name: str = "", key: str | None = None) -> Edit | None:
        """What a branch changes at a span that is about to begin here."""
        return None if self.journal is None else self.journal.edit(self._here(), type, name, key)

    def _here(self) -> str | None:
        here = CURRENT.get()
        return here.id if here is not None and here.log is self else None

    def _write(self, line: bytes) -> OSError | None:
        if self._spool is not None:
            try:
                self._spool.write(line)
            except OSError as error:
                return error
        return None

    def _lose_spool(self, fault: OSError) -> None:
        """Go on in memory: a full disk must not end the run."""
        self._close_spool()
        text = f"the rest of the trace is kept in memory only: {self.directory} cannot be written ({fault.strerror})"
        self.emit(Note(level="warning", text=text))

    def events_since(self, seq: int) -> list[Event]:
        """The events with `event.seq >= seq`, in order."""
        with self._lock:
            return self._events[seq:]

    def __len__(self) -> int:
        return len(self._events)

    def subscribe(self, subscriber: Subscriber, since: int | None = None) -> Callable[[], None]:
        """Call `subscriber` with every event from now on, after replaying those from `since` if given.

        Returns:
            a function that ends the subscription.
        """
        with self._lock:
            if since is not None:
                for event in self._events[since:]:
                    subscriber(event)
            self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

        return unsubscribe

    def close(self) -> None:
        """The run has ended: close the spool. Events emitted later stay in memory only."""
        self.is_closed = True
        self._close_spool()

    def _close_spool(self) -> None:
        with self._lock:
            if self._spool is not None:
                self._spool.close()
                self._spool = None

    @contextlib.contextmanager
    def span(
        self,
        type: SpanType,
        name: str,
        *,
        input: str | None = None,
        code: str | None = None,
        attrs: dict[str, Any] | None = None,
        deeper: bool = False,
        record: Record | None = None,
    ) -> Iterator[Span]:
        """A timed piece of work below the current span; an exception ends it with its status and passes on.

        Args:
            deeper: the span is one level of recursion below its parent; `depth` counts these, not tree levels.
            record: the same work as the journal holds it: it is gone on with, under its recorded name. The loops
                (turn, step, iteration) find theirs here.

        Raises:
            NotRecorded: a cell is run again for its variables, and this is new.
        """
        if rebuilt_span() is not None:
            raise NotRecorded(f"this {type} was not asked when the cell ran first, and nothing is paid twice")
        parent = CURRENT.get()
        if parent is not None and parent.log is not self:
            parent = None
        if record is None and type in ("turn", "step", "iteration"):
            record = self.recorded(type, name)
        depth = (parent.depth if parent else 0) + deeper
        if record is not None:
            span = Span(self, record.node.id, parent, depth, input, is_recorded=True)
        else:
            span = self._begin(type, name, parent, depth, input, code, attrs or {})
        token = CURRENT.set(span)
        try:
            yield span
        except BaseException as error:
            span.fail_with(error)
            raise
        finally:
            CURRENT.reset(token)
            if record is None or span.is_new or self.journal is None or span.id in self.journal.reopened:
                self.emit(span.end())

    def _begin(
        self,
        type: SpanType,
        name: str,
        parent: Span | None,
        depth: int,
        input: str | None,
        code: str | None,
        attrs: dict[str, Any],
    ) -> Span:
        above = parent.id if parent else None
        edit = self.edit(type, name, attrs.get("key"))
        if edit is not None and self.journal is not None:
            self.journal.edited()
            input, attrs = edit.prompt or input, {**attrs, "edited": True}
        if self.journal is not None and type != "sandbox":  # every run, however far it had come, starts its own
            self.journal.diverge(above)
            outer = parent
            while outer is not None and not outer.is_new:
                self.journal.diverge(outer.id)
                outer.is_new, outer = True, outer.parent
        span = Span(self, f"s{next(self._span_ids)}", parent, depth, input, edit)
        self.emit(
            SpanStart(
                span=span.id, parent=above, type=type, name=name, depth=depth, attrs=attrs, input=input, code=code
            )
        )
        return span

    def artifact(self, name: str, mime: str, data: bytes | Path) -> Artifact | None:
        """Keep data, or a file (it is moved), beside the log and say so in it; None where the log has no directory."""
        if self.directory is None:
            return None
        identity = f"a{next(self._artifact_ids)}"
        path = self.directory / "artifacts" / f"{identity}-{os.path.basename(name) or 'value'}"
        try:
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)  # of a leg that was cut off; a branch may share the file, not the bytes
            if isinstance(data, Path):
                shutil.move(data, path)
            else:
                path.write_bytes(data)
        except OSError as fault:
            path.unlink(missing_ok=True)
            if self._spool is not None:
                self._lose_spool(fault)
            return None
        with open(path, "rb") as kept:
            digest = hashlib.file_digest(kept, "sha256").hexdigest()
        size = path.stat().st_size
        event = Artifact(id=identity, name=name, mime=mime, bytes=size, sha256=digest, path=str(path))
        self.emit(event)
        return event

    def _bounded(self, event: Event) -> Event:
        if self.directory is None:
            return event
        for field in ("input", "output", "code", "text"):
            value = getattr(event, field, None)
            if isinstance(value, str) and len(value) > MAX_VALUE:
                kept = self.artifact(f"{field}.txt", "text/plain", value.encode("utf-8", "surrogatepass"))
                if kept is None:
                    continue  # there is no place but the event
                half = PREVIEW // 2
                where = f"{len(value):,} characters; whole in artifact {kept.id}"
                setattr(event, field, f"{value[:half]}\n[… {where} …]\n{value[-half:]}")
                if isinstance(event, (SpanStart, SpanEnd)):
                    event.attrs = {**event.attrs, f"{field}_artifact": kept.id, f"{field}_chars": len(value)}
        return event


def _steady() -> int:
    """Microseconds that only go on, as they do while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    return time.monotonic_ns() // 1000
