"""The one log a run writes, and its subscribers.

Whoever does something emits an event here; nobody keeps a second history. The log assigns `seq` and `ts`, redacts
secrets, moves oversized values to artifacts, appends to the spool file if there is one, and calls the subscribers in
order. Emitting is thread-safe; subscribers are called under the lock and must only take note (the widget batches, the
live view sets a flag). `span` opens a timed piece of work below the span of the calling context.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import hashlib
import itertools
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from fleet_rlm.core.errors import BudgetExhausted
from fleet_rlm.core.events import Artifact, Event, Note, SpanEnd, SpanStart, SpanStatus, SpanType, Usage, decode, encode
from fleet_rlm.core.redaction import Redactor

MAX_VALUE = 32_768
"""Characters of one field kept in an event; what is longer becomes an artifact with a preview (design 3.1)."""

PREVIEW = 2_000

Subscriber = Callable[[Event], None]

logger = logging.getLogger("fleet_rlm")

_current: contextvars.ContextVar[Span | None] = contextvars.ContextVar("fleet_rlm_span", default=None)


class Span:
    """A piece of work in progress: set what it yields, and the log writes it when the block ends."""

    def __init__(self, log: RunLog, span_id: str, parent: Span | None, depth: int) -> None:
        self.log = log
        self.id = span_id
        self.parent = parent
        self.depth = depth
        self.output: str | None = None
        self.usage: Usage | None = None
        self.attrs: dict[str, Any] = {}
        self._status: SpanStatus = "ok"
        self._error_type: str | None = None
        self._error: str | None = None

    def fail(self, error_type: str, error: str, status: SpanStatus = "error") -> None:
        """Mark the work as failed without raising here."""
        self._status, self._error_type, self._error = status, error_type, error

    def fail_with(self, error: BaseException) -> None:
        """Mark the work as failed, stopped or exhausted, as the exception says."""
        stopped = isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit))
        status: SpanStatus = "stopped" if stopped else "exhausted" if isinstance(error, BudgetExhausted) else "error"
        self.fail(type(error).__name__, str(error) or type(error).__name__, status)

    def end(self) -> SpanEnd:
        """The event that closes it."""
        return SpanEnd(
            span=self.id,
            status=self._status,
            output=self.output,
            usage=self.usage,
            error_type=self._error_type,
            error=self._error,
            attrs=self.attrs,
        )


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
        self.is_closed = False
        self._spool: int | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # prompts and data are the user's own
            self._spool = os.open(directory / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

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
            raise ValueError("the log holds no event")
        log.is_closed = True
        return log

    def emit(self, event: Event) -> Event:
        """Accept one event; returns it as written: numbered, stamped, redacted."""
        with self._lock:
            event = self._bounded(self._redactor.clean(event))
            event.run, event.seq, event.ts = self.run, len(self._events), time.time_ns() // 1000
            if event.span is None and (here := _current.get()) is not None and here.log is self:
                event.span = here.id
            self._events.append(event)
            fault = self._write(event)
            for subscriber in tuple(self._subscribers):
                try:
                    subscriber(event)
                except Exception:
                    self._subscribers.remove(subscriber)
                    logger.exception("a subscriber of run %s failed and is not told of further events", self.run)
            if fault is not None:
                self._lose_spool(fault)
            return event

    def _write(self, event: Event) -> OSError | None:
        if self._spool is not None:
            try:
                os.write(self._spool, encode(event) + b"\n")
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
                os.close(self._spool)
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
    ) -> Iterator[Span]:
        """A timed piece of work below the current span; an exception ends it with its status and passes on.

        Args:
            deeper: the span is one level of recursion below its parent; `depth` counts these, not tree levels.
        """
        parent = _current.get()
        if parent is not None and parent.log is not self:
            parent = None
        span = Span(self, f"s{next(self._span_ids)}", parent, (parent.depth if parent else 0) + deeper)
        self.emit(
            SpanStart(
                span=span.id,
                parent=parent.id if parent else None,
                type=type,
                name=name,
                depth=span.depth,
                attrs=attrs or {},
                input=input,
                code=code,
            )
        )
        token = _current.set(span)
        try:
            yield span
        except BaseException as error:
            span.fail_with(error)
            raise
        finally:
            _current.reset(token)
            self.emit(span.end())

    def artifact(self, name: str, mime: str, data: bytes | Path) -> Artifact | None:
        """Keep data, or a file (it is moved), beside the log and say so in it; None where the log has no directory."""
        if self.directory is None:
            return None
        identity = f"a{next(self._artifact_ids)}"
        path = self.directory / "artifacts" / f"{identity}-{os.path.basename(name) or 'value'}"
        path.parent.mkdir(exist_ok=True)
        try:
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


def current_span() -> Span | None:
    """The span of the calling context."""
    return _current.get()
