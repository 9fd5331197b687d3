"""What a run has already done, found again by its place in the tree, so that nothing is done or paid for twice.

A run that goes on (`resume`) or starts from another's beginning (`branch`) does its work anew from the top, and at each
place asks the journal first. Loops are sequential, so their work is found by its order below the recorded parent;
sub-queries and children run side by side, so theirs is found by what was asked (`key`), equal questions by their order.
Where the run leaves what is recorded, a sequential parent has diverged and gives nothing more from the record.

A record is settled when its result is known and was acted upon: it is then told again and not done again. Code is the
exception: a settled cell tells its recorded output, and is run again for the variables it leaves (`rebuilding`).

What is recorded was paid, whether it is told again or turns out to be told no more: whoever goes on books all of it
before anything is asked (`Ledger.book`), and nothing when it is told.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.events import Delta, Event, Note, RunResume, SpanType
from fleet_rlm.core.tree import SpanNode, Tree

SEQUENTIAL = frozenset({"turn", "step", "iteration", "rlm"})
"""Spans whose children follow each other; those of a tool or of code may run side by side."""

SPENT_EARLY = "budget:"
"""How the reason begins of a loop that a limit ended early; with a higher limit there is more to do."""


TOO_LONG = "ContextWindowExceededError"
"""The error type of a model call whose prompt did not fit."""


class NotRecorded(FleetError):
    """A cell that is run again for its variables asked something that it did not ask the first time."""


EDITS = {"llm": ("prompt", "reply"), "code": ("code",), "rlm": ("prompt",), "turn": ("prompt",)}
"""What a branch can change at a span, by its type, besides model and budget."""


@dataclass(frozen=True)
class Edit:
    """What a branch changes at its first new span.

    Attributes:
        parent, type, name, key: the place of the span, as in its start event.
        prompt: asked instead, of an `llm` or `rlm` span.
        code: run instead, of a `code` span.
        reply: taken as the model's reply to an `llm` span; the model is not asked.
    """

    parent: str | None
    type: str
    name: str
    key: str | None = None
    prompt: str | None = None
    code: str | None = None
    reply: str | None = None

    def is_at(self, parent: str | None, type: str, name: str, key: str | None) -> bool:
        """Whether this is the place."""
        same = _place(parent, type, name) == _place(self.parent, self.type, self.name)
        return same and (self.key is None or key == self.key)


@dataclass(frozen=True)
class Record:
    """One recorded span."""

    node: SpanNode
    journal: Journal = field(repr=False)

    @property
    def is_settled(self) -> bool:
        """Whether its result is known, whole, and was acted upon."""
        node = self.node
        if node.end is None or node.status == "stopped":
            return False
        match node.type:
            case "llm":  # that a prompt is too long is an answer, too: the next one was shorter
                return node.error_type == TOO_LONG or (node.status == "ok" and self.output is not None)
            case "rlm":
                return node.status == "ok" and not self.ended_early and self.output is not None
            case "code":  # what it printed can be had again, its variables must be
                return node.error_type != "ModelError" or self.journal.was_followed(node)
            case "tool" if node.status == "exhausted":
                return not self.journal.has_more
            case "tool":
                return node.error_type != "ModelError" and (node.status != "ok" or self.output is not None)
        return False

    @property
    def ended_early(self) -> bool:
        """Whether a limit ended it that has been raised since."""
        early = str(self.node.attrs.get("finished_early") or "")
        return self.journal.has_more and early.startswith(SPENT_EARLY)

    @functools.cached_property
    def output(self) -> str | None:
        """Its result, whole: from its artifact where the event holds a preview, None where that is gone."""
        kept = self.node.attrs.get("output_artifact")
        return self.node.output or "" if kept is None else self.journal.artifact_text(str(kept))

    @property
    def notes_above(self) -> list[str]:
        """What was noted in the span it is part of."""
        above = self.journal.tree.spans.get(self.node.parent or "")
        return above.notes if above is not None else []

    @property
    def outputs(self) -> list[Any]:
        """What dspy got of a model: the reply as recorded, which is a list with one text but for rich replies."""
        rich = self.node.attrs.get("outputs")
        return rich if isinstance(rich, list) else [self.output or ""]


class Journal:
    """The recorded part of one run; each record is given out once.

    Args:
        events: what was recorded.
        directory: where the artifacts lie.
        edit: what is changed at the first new span of that place.

    Attributes:
        has_more: limits were raised, so what a limit ended early goes on.
        reopened: spans that were going on, and go on.
    """

    def __init__(self, events: Iterable[Event], directory: Path | None = None, edit: Edit | None = None) -> None:
        events = list(events)
        self.tree = Tree(events)
        self._directory = directory
        self._edit = edit
        self._is_past = edit is not None  # of a branch: all of it was followed by what is changed
        self.has_more = False
        self.reopened: frozenset[str] = frozenset()
        self._places: dict[tuple[str | None, str, str], deque[SpanNode]] = defaultdict(deque)
        self._asked: dict[tuple[str | None, str, str, str], deque[SpanNode]] = defaultdict(deque)
        self._anywhere: dict[tuple[str, str], deque[SpanNode]] = defaultdict(deque)
        self._taken: set[str] = set()
        self._diverged: set[str | None] = set()
        for node in self.tree.spans.values():
            if node.type != "sandbox":  # a sandbox is always started anew
                self._places[_place(node.parent, node.type, node.name)].append(node)
                self._asked[*_place(node.parent, node.type, node.name), str(node.attrs.get("key"))].append(node)
            if node.type == "llm" and "key" in node.attrs:
                self._anywhere[node.name, str(node.attrs["key"])].append(node)
        resumed = [event for event in events if isinstance(event, RunResume)]
        self._begun: dict[str | None, int] = {span: event.seq for event in resumed for span in event.reopened}
        self._told = Counter(_told(event) for event in events if _is_told_once(event))

    def reopen(self) -> list[SpanNode]:
        """The spans whose work is not over, in order of start: the turn, what has no settled end, and all above it."""
        going: set[str] = set()
        for node in reversed(self.tree.spans.values()):  # children come after their parents
            if node.type == "turn" or node.id in going or self._goes_on(node):
                going |= {node.id, node.parent or ""}
        self.reopened = frozenset(going & self.tree.spans.keys())
        return [node for node in self.tree.spans.values() if node.id in self.reopened]

    def _goes_on(self, node: SpanNode) -> bool:
        if node.type in ("llm", "sandbox") or node.id in self._told_whole:
            return False
        record = Record(node, self)
        return record.ended_early or (node.status != "ok" and not record.is_settled)

    @functools.cached_property
    def _told_whole(self) -> set[str]:
        """Spans below a cell or an RLM that is settled, and so told as a whole."""
        whole: set[str] = set()
        settled: set[str] = set()
        for node in self.tree.spans.values():  # parents come first
            if node.parent in whole or node.parent in settled:
                whole.add(node.id)
            elif node.type in ("code", "rlm") and Record(node, self).is_settled:
                settled.add(node.id)
        return whole

    def was_followed(self, node: SpanNode) -> bool:
        """Whether the run went on after it: something came later in a sequence that it is part of."""
        if self._is_past:
            return True
        above = self.tree.spans.get(node.parent or "")
        if above is None:
            return False
        later = [child for child in self.tree.children(above) if child.seq > node.seq and child.type != "sandbox"]
        return bool(later and above.type in SEQUENTIAL) or self.was_followed(above)

    def take(
        self, parent: str | None, type: SpanType, name: str, key: str | None = None, *, rebuilding: bool = False
    ) -> Record | None:
        """The record of this place, if there is one, given out once.

        Args:
            key: what is asked there, where several are asked side by side.
            rebuilding: take what was asked in the same order if nothing equal was asked, failures included.
        """
        if parent in self._diverged:
            return None
        place = _place(parent, type, name)
        node = self._next(self._asked[*place, key] if key is not None else self._places[place], rebuilding)
        if node is None and key is not None and type == "llm":  # of a thread, which asked when another cell ran
            node = self._next(self._anywhere[name, key], False)
        if node is None and rebuilding:
            node = self._next(self._places[place], rebuilding)
        if node is None:
            return None
        self._taken.add(node.id)
        return Record(node, self)

    def holds(self, parent: str | None, type: SpanType, name: str) -> bool:
        """Whether `take` would give a record."""
        return parent not in self._diverged and self._next(self._places[_place(parent, type, name)], False) is not None

    def _next(self, nodes: deque[SpanNode], rebuilding: bool) -> SpanNode | None:
        while nodes and nodes[0].id in self._taken:
            nodes.popleft()
        for node in nodes:
            if node.id in self._taken or (rebuilding and self._is_stale(node)):
                continue
            if rebuilding or node.type != "llm" or Record(node, self).is_settled:
                return node
        return None

    def _is_stale(self, node: SpanNode) -> bool:
        """Whether it came to nothing, and the cell that it is part of was begun again since."""
        return node.end is None or (node.status != "ok" and node.seq < self._begun.get(node.parent, -1))

    def diverge(self, span: str | None) -> None:
        """Something new was begun below `span`: in a sequence, what was recorded after it did not happen."""
        node = self.tree.spans.get(span or "")
        if node is None or node.type in SEQUENTIAL:
            self._diverged.add(span)

    def edit(self, parent: str | None, type: SpanType, name: str, key: str | None = None) -> Edit | None:
        """What is changed at this place, if it is the one."""
        return self._edit if self._edit is not None and self._edit.is_at(parent, type, name, key) else None

    @property
    def is_unchanged(self) -> bool:
        """Whether the place of the change was not reached yet."""
        return self._edit is not None

    def edited(self) -> None:
        """The change was made; what comes after it is left alone."""
        self._edit = None

    def was_told(self, event: Event) -> bool:
        """Whether the record holds this thought or note of this span already; true once for each."""
        if not _is_told_once(event) or not self._told[_told(event)]:
            return False
        self._told[_told(event)] -= 1
        return True

    def artifact_text(self, artifact: str) -> str | None:
        """The text of an artifact, None where the file is gone."""
        event = self.tree.artifacts.get(artifact)
        if event is None or self._directory is None:
            return None
        try:
            return (self._directory / "artifacts" / Path(event.path).name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None


CALLS_LEFT = re.compile(r"max [\d,]+ sub-LLM calls")
"""Stands in the prompt of an RLM; with several at once the number depends on which came first."""


def digest(*parts: Any) -> str:
    """A short hash of what is asked: the same for equal questions, in every process."""
    return hashlib.sha256(msgspec.json.encode(parts, enc_hook=repr)).hexdigest()[:20]


def _place(parent: str | None, type: str, name: str) -> tuple[str | None, str, str]:
    """A sandbox's name, which `code` spans bear, differs from process to process."""
    return parent, type, "" if type == "code" else name


def _is_told_once(event: Event) -> TypeGuard[Delta | Note]:
    """What a cell prints is not: a cell that is run again begins anew (`Tree.apply`)."""
    return isinstance(event, Note) or (isinstance(event, Delta) and event.channel in ("thought", "text"))


def _told(event: Delta | Note) -> tuple[str | None, str, str]:
    return event.span, event.channel if isinstance(event, Delta) else event.level, event.text


_rebuilding: contextvars.ContextVar[str | None] = contextvars.ContextVar("fleet_rlm_rebuilding", default=None)


@contextlib.contextmanager
def rebuilding(span: str) -> Iterator[None]:
    """Inside, the cell of a recorded span is run again for its variables: nothing is asked, told or paid."""
    token = _rebuilding.set(span)
    try:
        yield
    finally:
        _rebuilding.reset(token)


def rebuilt_span() -> str | None:
    """The recorded span whose cell the calling context runs again, if it does."""
    return _rebuilding.get()
