"""Recorded replies: a file with which a run can be repeated exactly, without a key and without a model.

`Recording` calls the model and appends each reply to the file; `Replay` answers from it. A request is found by a hash
of its text, equal requests by their order; of several recorded runs of the same question the latest is replayed. The
file holds replies and hashes of requests, one JSON object per line, and no key; secrets that a reply repeats are
redacted. What was recorded by the rule-based stand-in says so when it is replayed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dspy
import msgspec

from fleet_rlm.core.errors import ModelError, UserError
from fleet_rlm.core.journal import CALLS_LEFT, digest
from fleet_rlm.core.redaction import Redactor
from fleet_rlm.lm.call import Reply, call
from fleet_rlm.lm.resolve import Resolved
from fleet_rlm.lm.windows import window

VERSION = 1


class _Line(msgspec.Struct, omit_defaults=True):
    """One line: the head of a run (`task`, models), or a reply (`key`)."""

    run: str
    v: int = VERSION
    task: str | None = None
    model: str = ""
    sub_model: str = ""
    offline: bool = False
    window: int | None = None
    sub_window: int | None = None
    key: str | None = None
    outputs: list[Any] = []
    usage: dict[str, Any] | None = None
    cost: float | None = None


class Recording:
    """Appends the replies of one run to a file.

    Raises:
        UserError: the file cannot be written, or is no recording; it is left as it is.
    """

    def __init__(self, path: Path, task: str, lm: Resolved, sub_lm: Resolved) -> None:
        self._run = secrets.token_hex(8)
        self._redactor = Redactor({*lm.secrets, *sub_lm.secrets})
        self._lock = threading.Lock()
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _mend(path)
            self._file = open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb", buffering=0)
        except OSError as error:
            raise UserError(f"the replies cannot be recorded in {path}: {error.strerror}") from error
        self._head: _Line | None = _Line(
            self._run,
            task=task,
            model=lm.name,
            sub_model=sub_lm.name,
            offline=lm.offline,
            window=window(lm.lm),
            sub_window=window(sub_lm.lm),
        )

    async def call(self, lm: dspy.BaseLM, prompt: str | None, messages: Any, options: dict[str, Any]) -> Reply:
        """Call the model and keep its reply."""
        reply = await call(lm, prompt, messages, options)
        outputs = self._redactor.value(list(reply.outputs))
        self._write(_Line(self._run, key=_key(prompt, messages), outputs=outputs, usage=reply.usage, cost=reply.cost))
        return reply

    def _write(self, line: _Line) -> None:
        with self._lock:
            lines = [line] if self._head is None else [self._head, line]
            raw = b"".join(msgspec.json.encode(one, enc_hook=repr) + b"\n" for one in lines)
            end = os.fstat(self._file.fileno()).st_size
            try:
                while raw:
                    raw = raw[self._file.write(raw) :]
            except OSError as error:
                with contextlib.suppress(OSError):  # a device has no end to go back to
                    self._file.truncate(end)
                raise ModelError(
                    f"the reply cannot be recorded in {self._path}: {error.strerror}; make room and record again, or "
                    "ask without --record"
                ) from error
            self._head = None


class Replay:
    """Answers the requests of one run from a recording of the same question.

    Attributes:
        lm, sub_lm: the recorded models by name; they cannot be called.

    Raises:
        UserError: the file cannot be read, is no recording, or holds no run of this question.
    """

    def __init__(self, path: Path, task: str) -> None:
        self.path = path
        lines = _read(path)
        head = next((line for line in reversed(lines) if line.task == task), None)
        if head is None:
            tasks = list(dict.fromkeys(line.task for line in lines if line.task is not None))
            held = "; ".join(repr(_short(known)) for known in tasks[:5]) or "none"
            raise UserError(f"{path} has no recording of this question; it has: {held}. Record it with --record")
        self.lm = Resolved(_Recorded(head.model, head.window), head.model, offline=head.offline, given=True)
        self.sub_lm = Resolved(
            _Recorded(head.sub_model, head.sub_window), head.sub_model, offline=head.offline, given=True
        )
        self._replies: dict[str, deque[_Line]] = defaultdict(deque)
        for line in lines:
            if line.run == head.run and line.key is not None:
                self._replies[line.key].append(line)

    async def call(self, lm: dspy.BaseLM, prompt: str | None, messages: Any, options: dict[str, Any]) -> Reply:
        """The recorded reply to this request, which costs nothing.

        Raises:
            ModelError: it was not asked when the run was recorded.
        """
        recorded = self._replies[_key(prompt, messages)]
        if not recorded:
            raise ModelError(
                f"{self.path} has no reply to this request: the question, its data or fleet-rlm itself differ from "
                "when it was recorded; record it again with --record"
            )
        line = recorded.popleft() if len(recorded) > 1 else recorded[0]
        return Reply(line.outputs, line.usage, 0.0)


class _Recorded(dspy.BaseLM):
    """Stands for a model that is replayed."""

    def __init__(self, name: str, tokens: int | None) -> None:
        super().__init__(model=name)
        self.context_window = tokens

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        raise ModelError(f"{self.model} is replayed from a recording and cannot be called")


def _mend(path: Path) -> None:
    """Take off a last line that was cut off in mid-write: what is appended to it would be no line either.

    Raises:
        UserError: the file is no recording, and nothing is appended to what is something else.
        OSError: it cannot be read or written.
    """
    if not path.is_file() or not (raw := path.read_bytes()):
        return
    if not any(line.task is not None for line in _read(path)):
        raise UserError(f"{path} exists and is not a recording of fleet-rlm; record into another file")
    whole = raw.rfind(b"\n") + 1
    if whole < len(raw):
        os.truncate(path, whole)


def _read(path: Path) -> list[_Line]:
    try:
        raw = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"the recording {path} cannot be read: {error.strerror}") from error
    try:
        lines = list(_decoded(raw))
    except msgspec.DecodeError as error:
        raise UserError(f"{path} is not a recording of fleet-rlm: {error}") from error
    if any(line.v != VERSION for line in lines):
        raise UserError(f"{path} was recorded by a later fleet-rlm; upgrade this one")
    return lines


def _decoded(raw: list[bytes]) -> Iterable[_Line]:
    for number, line in enumerate(raw, 1):
        try:
            yield msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError:
            if number < len(raw):  # the last one may have been cut off in mid-write
                raise


def _key(prompt: str | None, messages: Any) -> str:
    text = msgspec.json.encode([prompt, messages], enc_hook=repr).decode()
    return digest(CALLS_LEFT.sub("max N sub-LLM calls", text))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
