"""The recursion tree: a pure fold over events.

The same fold exists in TypeScript (`labextension/src/core/reducer.ts`); both give the same canonical tree for every
log in `tests/golden`. Unknown kinds are ignored, an event already applied is ignored, and a span whose parent is
unknown is a root.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fleet_rlm.core import events as ev
from fleet_rlm.core.events import Usage


@dataclass
class Ask:
    """What a span asked a person; `answer` is None until somebody decides. `seq` is its name among the run's asks.

    Times are microseconds since 1970 UTC. `by` is who decided, where a server knows it.
    """

    seq: int
    span: str
    tool: str
    question: str
    options: list[str]
    asked: int
    answer: str | None = None
    note: str | None = None
    by: str | None = None
    answered: int | None = None


@dataclass
class SpanNode:
    """One span as folded so far. Times are microseconds since 1970 UTC; `end` is None while it runs."""

    id: str
    parent: str | None
    depth: int
    type: str
    name: str
    seq: int
    start: int
    end: int | None = None
    status: str = "running"
    input: str | None = None
    output: str | None = None
    code: str | None = None
    error_type: str | None = None
    error: str | None = None
    usage: Usage | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    thought: str = ""
    text: str = ""
    children: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    displays: list[dict[str, Any]] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)


class Tree:
    """A run as far as its events tell: header, spans in order of start, and the usage summed over model calls.

    One thread applies events; others may read meanwhile.
    """

    def __init__(self, events: Iterable[ev.Event] = ()) -> None:
        self.run = ""
        self.start: ev.RunStart | None = None
        self.end: ev.RunEnd | None = None
        self.resumed: ev.RunResume | None = None
        self.sandbox: ev.SandboxState | None = None
        self.budget: ev.BudgetChange | None = None
        self.limits = ev.Limits()
        self.caps: dict[str, ev.LimitChange] = {}
        self.artifacts: dict[str, ev.Artifact] = {}
        self.notes: list[ev.Note] = []
        self.asks: dict[str, Ask] = {}  # what is waited for, by its span
        self.usage = Usage()
        self.spans: dict[str, SpanNode] = {}
        self.seq = -1
        for event in events:
            self.apply(event)

    @property
    def status(self) -> str:
        """ "running", "ok", "exhausted", "stopped" or "failed"."""
        return self.end.status if self.end else "running"

    @property
    def roots(self) -> list[SpanNode]:
        """Spans without a known parent, in order of start."""
        return [span for span in list(self.spans.values()) if span.parent not in self.spans]

    def children(self, span: SpanNode) -> list[SpanNode]:
        """The spans directly below, in order of start."""
        return [self.spans[child] for child in span.children]

    def walk(self) -> Iterator[tuple[int, SpanNode]]:
        """Every span with its level in the tree, depth first."""
        stack = [(0, span) for span in reversed(self.roots)]
        while stack:
            level, span = stack.pop()
            yield level, span
            stack.extend((level + 1, self.spans[child]) for child in reversed(span.children))

    def apply(self, event: ev.Event) -> None:
        """Fold one event in."""
        if event.seq <= self.seq:
            return
        self.seq, self.run = event.seq, event.run
        span = self.spans.get(event.span or "")
        match event:  # the most frequent first
            case ev.SpanStart():
                self._open(event)
            case ev.SpanEnd() if span:
                self._close(span, event)
            case ev.BudgetChange():
                self.budget = event
            case ev.LimitChange():
                self.limits = event.budget
                if span and event.calls is not None:
                    self.caps[span.id] = event
            case ev.RunStart():
                self.start, self.limits = event, event.budget
            case ev.RunEnd():
                self.end = event
                self.asks.clear()
            case ev.RunResume():
                self.end, self.resumed, self.limits = None, event, event.budget
                self.asks.clear()  # what had no answer is asked again
                self.budget = None  # it was that of limits which hold no more
                for reopened in filter(None, map(self.spans.get, event.reopened)):
                    reopened.end, reopened.status = None, "running"
                    reopened.error = reopened.error_type = None
                    if reopened.type == "code":  # it is run again, and prints again
                        reopened.stdout = reopened.stderr = ""
                        reopened.displays.clear()
            case ev.ApprovalAsk() if span:
                asked = Ask(event.seq, span.id, event.tool, event.question, event.options, event.ts)
                self.asks[span.id] = asked
                span.asks.append(asked)
            case ev.ApprovalAnswer() if span and span.id in self.asks:
                asked = self.asks.pop(span.id)
                asked.answer, asked.note, asked.by, asked.answered = event.answer, event.note, event.by, event.ts
            case ev.Delta() if span:
                setattr(span, event.channel, getattr(span, event.channel) + event.text)
            case ev.Display() if span:
                span.displays.append(event.mimebundle)
            case ev.Artifact():
                self.artifacts[event.id] = event
                if span:
                    span.artifacts.append(event.id)
            case ev.Note():
                self.notes.append(event)
                if span:
                    span.notes.append(event.text)
            case ev.SandboxState():
                self.sandbox = self.sandbox or event

    def _open(self, event: ev.SpanStart) -> None:
        assert event.span is not None
        self.spans[event.span] = SpanNode(
            id=event.span,
            parent=event.parent,
            depth=event.depth,
            type=event.type,
            name=event.name,
            seq=event.seq,
            start=event.ts,
            input=event.input,
            code=event.code,
            attrs=dict(event.attrs),
        )
        if event.parent in self.spans:
            self.spans[event.parent].children.append(event.span)

    def _close(self, span: SpanNode, event: ev.SpanEnd) -> None:
        span.end, span.status, span.output, span.usage = event.ts, event.status, event.output, event.usage
        span.error_type, span.error = event.error_type, event.error
        span.attrs |= event.attrs
        self.asks.pop(span.id, None)
        if span.type == "llm" and event.usage is not None:
            self.usage += event.usage

    def canonical(self) -> dict[str, Any]:
        """The tree as plain JSON values, equal to what the TypeScript fold gives."""
        head, end, usage = self.start, self.end, self.usage
        return {
            "run": self.run,
            "status": self.status,
            "answer": end.answer if end else None,
            "error": end.error if end else None,
            "mode": head.mode if head else None,
            "model": head.model if head else None,
            "offline": head.offline if head else False,
            "usage": _usage(usage) if usage.llm_calls else {**_usage(usage), **_NOTHING_SPENT},
            "spans": [_canonical_span(span) for span in list(self.spans.values())],
        }


_NOTHING_SPENT = {"tokens_in": 0, "tokens_out": 0, "tokens_cached": 0}


def _usage(usage: Usage) -> dict[str, Any]:
    return {name: getattr(usage, name) for name in usage.__struct_fields__}


def _canonical_span(span: SpanNode) -> dict[str, Any]:
    plain = (
        *("id", "parent", "depth", "type", "name", "status", "start", "end", "input", "output", "code"),
        *("error_type", "error", "stdout", "stderr", "thought", "text", "children", "notes", "artifacts"),
    )
    return {
        **{name: getattr(span, name) for name in plain},
        "usage": _usage(span.usage) if span.usage else None,
        "displays": len(span.displays),
        "asks": [[asked.question, asked.answer, asked.note] for asked in span.asks],
    }
