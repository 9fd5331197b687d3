"""What a run has already done, found again by its place in the tree, so that nothing is done or paid for twice.

A run that goes on (`resume`) or starts from another's beginning (`branch`) does its work anew from the top, and at each
place asks the journal first. Loops are sequential, so their work is found by its order below the recorded parent;
sub-queries and children run side by side, so theirs is found by what was asked (`key`), equal questions by their order.
Where the run leaves what is recorded, a sequential parent has diverged and gives nothing more from the record.

A record is settled when its result is known and was acted upon: it is then told again and not done again. Code is the
exception: a settled cell tells its recorded output, and is run again for the variables it leaves (`RunLog.rebuilding`).
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.events import Delta, Event, Note, SpanType, Usage
from fleet_rlm.core.tree import SpanNode, Tree

SEQUENTIAL = frozenset({"turn", "step", "iteration", "rlm"})
"""Spans whose children follow each other; those of a tool or of code may run side by side."""

SPENT_EARLY = "budget:"
"""How the reason begins of a loop that a limit ended early; with a higher limit there is more to do."""


class NotRecorded(FleetError):
    """A cell that is run again for its variables asked something that it did not ask the first time."""


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
        if node.end is None or node.status in ("stopped", "exhausted"):
            return False
        if node.type == "llm":
            return node.status == "ok" and self._text("output") is not None
        if node.type == "rlm":
            early = str(node.attrs.get("finished_early") or "")
            return node.status == "ok" and not early.startswith(SPENT_EARLY) and self._text("output") is not None
        if node.type in ("code", "tool"):
            return node.error_type != "ModelError" and (node.status != "ok" or self._text("output") is not None)
        return False

    @property
    def output(self) -> str:
        """Its result, whole."""
        return self._text("output") or ""

    @property
    def outputs(self) -> list[Any]:
        """What dspy got of a model: the reply as recorded, which is a list with one text but for rich replies."""
        rich = self.node.attrs.get("outputs")
        return rich if isinstance(rich, list) else [self.output]

    @property
    def usage(self) -> Usage:
        """What the model calls in and below it used."""
        return sum((node.usage for node in self._below() if node.type == "llm" and node.usage), start=Usage())

    @property
    def children(self) -> int:
        """RLMs in and below it."""
        return sum(node.type == "rlm" for node in self._below())

    def _below(self) -> Iterator[SpanNode]:
        stack = [self.node]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(self.journal.tree.children(node))

    def _text(self, name: str) -> str | None:
        """A field, read from its artifact where the event holds only a preview; None where that is gone."""
        kept = self.node.attrs.get(f"{name}_artifact")
        if kept is None:
            return getattr(self.node, name) or ""
        return self.journal.artifact_text(str(kept))


class Journal:
    """The recorded part of one run; each record is given out once.

    Args:
        events: what was recorded.
        directory: where the artifacts lie.
        edit: what is changed at the first new span of that place.
    """

    def __init__(self, events: Iterable[Event], directory: Path | None = None, edit: Edit | None = None) -> None:
        events = list(events)
        self.tree = Tree(events)
        self._directory = directory
        self._edit = edit
        self._places: dict[tuple[str | None, str, str], deque[SpanNode]] = defaultdict(deque)
        self._asked: dict[tuple[str | None, str, str, str], deque[SpanNode]] = defaultdict(deque)
        self._taken: set[str] = set()
        self._diverged: set[str | None] = set()
        for node in self.tree.spans.values():
            if node.type != "sandbox":  # a sandbox is always started anew
                self._places[_place(node.parent, node.type, node.name)].append(node)
                self._asked[*_place(node.parent, node.type, node.name), str(node.attrs.get("key"))].append(node)
        self._told = Counter(_told(event) for event in events if isinstance(event, (Delta, Note)))

    @property
    def failed_usage(self) -> Usage:
        """What model calls without a reply used: they are asked again, and were counted."""
        failed = (node for node in self.tree.spans.values() if node.type == "llm" and node.status != "ok")
        return sum((node.usage for node in failed if node.usage is not None), start=Usage())

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
            if node.id in self._taken or (rebuilding and node.end is None):
                continue
            if rebuilding or node.type != "llm" or Record(node, self).is_settled:
                return node
        return None

    def diverge(self, span: str | None) -> None:
        """Something new was begun below `span`: in a sequence, what was recorded after it did not happen."""
        node = self.tree.spans.get(span or "")
        if node is None or node.type in SEQUENTIAL:
            self._diverged.add(span)

    def edit(self, parent: str | None, type: SpanType, name: str, key: str | None = None) -> Edit | None:
        """What is changed at this place, if it is the one."""
        return self._edit if self._edit is not None and self._edit.is_at(parent, type, name, key) else None

    def edited(self) -> None:
        """The change was made; what comes after it is left alone."""
        self._edit = None

    def was_told(self, event: Event) -> bool:
        """Whether the record holds this thought, output or note of this span already; true once for each."""
        if not isinstance(event, (Delta, Note)) or not self._told[_told(event)]:
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


def digest(*parts: Any) -> str:
    """A short hash of what is asked: the same for equal questions, in every process."""
    return hashlib.sha256(msgspec.json.encode(parts, enc_hook=repr)).hexdigest()[:20]


def prefix(events: Iterable[Event], span: str) -> list[Event]:
    """The events of a run up to where `span` began, and the rest of what ran beside it: its finished past.

    What was begun before `span` and is not above it is kept with all that is below it; of what is above it, only what
    was told before. The events are copies, numbered anew; what model calls used in the past is moved to their attrs
    (`used_before`), for the new run did not spend it.

    Raises:
        KeyError: there is no such span.
    """
    events = list(events)
    tree = Tree(events)
    cut = tree.spans[span]
    above, node = set(), cut
    while node.parent in tree.spans:
        node = tree.spans[node.parent]
        above.add(node.id)
    beside = {node.id for node in tree.spans.values() if node.seq < cut.seq and node.id not in above}
    for node in tree.spans.values():  # in order of start, so parents come first
        if node.parent in beside:
            beside.add(node.id)
    kept = [event for event in events if event.span in beside or event.seq < cut.seq]
    return [_of_the_past(event, seq) for seq, event in enumerate(kept)]


def _of_the_past(event: Event, seq: int) -> Event:
    usage = getattr(event, "usage", None)
    if not isinstance(usage, Usage):
        return msgspec.structs.replace(event, seq=seq)
    before = {**getattr(event, "attrs", {}), "used_before": msgspec.to_builtins(usage)}
    return msgspec.structs.replace(event, seq=seq, usage=None, attrs=before)


def _place(parent: str | None, type: str, name: str) -> tuple[str | None, str, str]:
    """A sandbox's name, which `code` spans bear, differs from process to process."""
    return parent, type, "" if type == "code" else name


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
