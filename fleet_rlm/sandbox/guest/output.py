"""What a cell prints: kept in order, streamed in batches, and bounded however much there is.

The first and last `KEEP` characters of a cell are kept in memory; when more is printed everything goes to a file among
the cell's artifacts (up to `SPOOL` bytes) and the text says so. What child processes write to descriptors 1 and 2
lands in a file of its own and is woven in at the next write or at the end of the cell.
"""

from __future__ import annotations

import codecs
import io
import os
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from .lockdown import libc

KEEP = 100_000  # characters at either end
SPOOL = 64 << 20  # bytes
PIECE = 1 << 20
PENDING = 1 << 14  # characters written before they are looked at
BATCH_S = 0.05
Chunk = tuple[str, str]  # stream, text


class Stream(io.TextIOBase):
    """sys.stdout or sys.stderr of a cell."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._name = name
        self.buffer = _Bytes(self)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._output.write(self._name, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1 if self._name == "stdout" else 2


class _Bytes(io.RawIOBase):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._stream.write(str(view, "utf-8", "replace"))
        return view.nbytes


class Output:
    """Collects one cell after the other."""

    def __init__(self) -> None:
        self.stdout, self.stderr = Stream(self, "stdout"), Stream(self, "stderr")
        self._raw = -1

    def enter(self, directory: str, send: Callable[[list[Chunk]], None]) -> None:
        """Belong to a sandbox, whose `directory` this is; in a fork, with the streams that code may have kept."""
        if self._raw >= 0:
            os.close(self._raw)
        self._send = send
        self._lock = threading.RLock()
        self._away = False
        self._raw = os.open(os.path.join(directory, "raw-output"), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
        os.dup2(self._raw, 1)
        os.dup2(self._raw, 2)
        self._reset("", 0, False)

    def leave(self) -> None:
        """Be the output of a process that the code forked: it prints where child processes print."""
        self._away = True

    def _reset(self, directory: str, number: int, streaming: bool) -> None:
        self._head: list[Chunk] = []
        self._tail: list[Chunk] = []
        self._room = KEEP
        self._tail_size = 0
        self._pending: list[str] = []  # of one stream, not yet looked at
        self._pending_stream = "stdout"
        self._pending_size = 0
        self._spool: BinaryIO | None = None
        self._spooled = 0
        self._total = 0
        self._raw_read = 0
        self._decoder: codecs.IncrementalDecoder | None = None  # of what child processes write
        self._spool_directory = directory
        self._number = number
        self._streaming = streaming
        self._unsent: list[Chunk] = []
        self._last_sent = 0.0
        self._done: threading.Event | None = None  # of the thread that sends what nobody else does, once there is one

    def begin(self, directory: str, number: int, streaming: bool) -> None:
        """Start a cell. `directory` is where its output goes, under its `number`, if there is too much of it."""
        with self._lock:
            if os.fstat(self._raw).st_size:
                os.ftruncate(self._raw, 0)
            self._reset(directory, number, streaming)

    def write(self, stream: str, text: str) -> None:
        """Take one piece of output."""
        if self._away:
            _write_all(1 if stream == "stdout" else 2, text.encode("utf-8", "backslashreplace"))
            return
        with self._lock:
            if stream != self._pending_stream or self._pending_size > PENDING:
                self._absorb()
                self._pending_stream = stream
            if os.fstat(self._raw).st_size != self._raw_read:
                self._weave()
            self._pending.append(text)
            self._pending_size += len(text)
            if self._streaming:
                self._stream()

    def flush(self) -> None:
        """Send what has not been sent."""
        with self._lock:
            self._flush()

    def end(self) -> dict[str, Any]:
        """Finish the cell; returns chunks, whether text was cut, and the spool file's name if there is one."""
        libc.fflush(None)  # what native code printed
        with self._lock:
            self._flush()
            if self._done is not None:
                self._done.set()
            if self._tail_size > KEEP:
                self._trim()
            chunks = self._head
            cut = self._total - sum(len(text) for _, text in self._head) - self._tail_size
            if self._tail:
                note = f"\n... {cut:,} characters not shown; {self._spool_story()} ...\n"
                chunks = [*self._head, ("stdout", note), *self._tail] if cut > 0 else [*self._head, *self._tail]
            self._head, self._tail = [], []
            return {"chunks": _joined(chunks), "truncated": cut > 0}

    @property
    def _spool_file(self) -> str:
        return f"output-{self._number}.txt"

    def _spool_story(self) -> str:
        if self._spool is None:
            return "they could not be written to artifacts/ either"
        self._spool.close()
        beyond = "" if self._spooled < SPOOL else f" (its first {SPOOL >> 20} MB)"
        return f"all output{beyond} is in artifacts/{self._spool_file}"

    def _absorb(self) -> None:
        """Many small writes become one piece: a print costs two."""
        if self._pending:
            text = "".join(self._pending)
            self._pending, self._pending_size = [], 0
            self._take(self._pending_stream, text)

    def _weave(self) -> None:
        """Take what child processes wrote since the last time."""
        self._absorb()
        size = os.fstat(self._raw).st_size
        if size == self._raw_read:
            return
        start, self._raw_read = self._raw_read, size
        self._decoder = self._decoder or codecs.getincrementaldecoder("utf-8")("replace")
        while start < size:
            if self._spooled >= SPOOL and size - start > KEEP:  # neither kept nor spooled: count it, do not read it
                self._total += size - KEEP - start
                start = size - KEEP
            data = os.pread(self._raw, min(size - start, PIECE), start)
            start += len(data)
            self._take("stdout", self._decoder.decode(data))

    def _take(self, stream: str, text: str) -> None:
        self._total += len(text)
        kept = text[: self._room] if len(text) > self._room else text
        if kept:
            self._head.append((stream, kept))
            self._room -= len(kept)
            if self._streaming:
                self._unsent.append((stream, kept))
        if len(kept) < len(text):
            self._overflow(stream, text, len(kept))

    def _overflow(self, stream: str, text: str, start: int) -> None:
        try:
            if not self._tail:
                self._spool = open(os.path.join(self._spool_directory, self._spool_file), "wb")
                for _, earlier in self._head:
                    self._keep(earlier, 0)
            self._keep(text, start)
        except OSError:  # the cell removed the directory, or the disk is full: both ends are still kept
            self._spool = None
        last = text[max(start, len(text) - KEEP) :]
        self._tail.append((stream, last))
        self._tail_size += len(last)
        if self._tail_size > 2 * KEEP:
            self._trim()  # not at every write: trimming costs as much as what it looks through

    def _keep(self, text: str, start: int) -> None:
        """Write to the spool, a slice at a time so that a giant string is not encoded whole."""
        while start < len(text) and self._spooled < SPOOL and self._spool is not None:
            data = text[start : start + PIECE].encode("utf-8", "backslashreplace")
            self._spool.write(data)
            self._spooled += len(data)
            start += PIECE

    def _trim(self) -> None:
        excess = self._tail_size - KEEP
        dropped = 0
        while excess >= len(self._tail[dropped][1]):
            excess -= len(self._tail[dropped][1])
            dropped += 1
        stream, text = self._tail[dropped]
        self._tail = [(stream, text[excess:]), *self._tail[dropped + 1 :]]
        self._tail_size = sum(len(text) for _, text in self._tail)

    def _stream(self) -> None:
        if time.monotonic() - self._last_sent >= BATCH_S:
            self._flush()
        elif self._done is None:  # a print before a long silence must still appear
            self._done = threading.Event()
            threading.Thread(target=self._tick, args=(self._done,), name="fleet-output", daemon=True).start()

    def _tick(self, done: threading.Event) -> None:
        while not done.wait(BATCH_S):
            with self._lock:
                if done is self._done:
                    self._flush()

    def _flush(self) -> None:
        self._weave()
        if self._unsent:
            chunks, self._unsent = _joined(self._unsent), []
            self._last_sent = time.monotonic()
            self._send(chunks)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _joined(chunks: list[Chunk]) -> list[Chunk]:
    """Neighbours of the same stream as one."""
    runs: list[tuple[str, list[str]]] = []
    for stream, text in chunks:
        if runs and runs[-1][0] == stream:
            runs[-1][1].append(text)
        else:
            runs.append((stream, [text]))
    return [(stream, "".join(texts)) for stream, texts in runs]
