"""The records a run writes: event v1, one struct per kind, a union by tag.

Everything anybody sees of a run (tree, widget, report, DataFrame, export) is derived from these. A reader of v1 reads
every later v1 log: unknown kinds decode to `Unknown`, unknown fields are ignored. `docs/events.md` and
`docs/events.schema.json` are generated from this file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

VERSION = 1

SpanType = Literal["turn", "step", "tool", "rlm", "iteration", "code", "llm", "sandbox"]
RunStatus = Literal["ok", "exhausted", "stopped", "failed"]
SpanStatus = Literal["ok", "error", "stopped", "exhausted"]
Microseconds = Annotated[int, msgspec.Meta(ge=0, description="since 1970-01-01 UTC")]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What model calls consumed. A missing figure was not reported; it is never 0 by default."""

    llm_calls: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    cost_usd: float | None = None

    def __add__(self, other: Usage) -> Usage:
        """Sum two usages; a figure that either side with a call does not know stays unknown."""
        if not self.llm_calls:
            return other
        if not other.llm_calls:
            return self
        return Usage(
            llm_calls=self.llm_calls + other.llm_calls,
            tokens_in=_sum(self.tokens_in, other.tokens_in),
            tokens_out=_sum(self.tokens_out, other.tokens_out),
            tokens_cached=_sum(self.tokens_cached, other.tokens_cached),
            cost_usd=_sum(self.cost_usd, other.cost_usd),
        )


def _sum(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a + b


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One context variable as it was described to the model."""

    name: str
    type: str
    size: str
    preview: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may spend, or has spent, or has left; null means unlimited or unknown."""

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    depth: int | None = None
    children: int | None = None


class Event(msgspec.Struct, kw_only=True, tag_field="kind", omit_defaults=False):
    """The envelope. `seq` is gap-free per run from 0 and, like `ts`, assigned by the log that accepts the event."""

    v: int = VERSION
    run: str = ""
    seq: int = -1
    ts: Microseconds = 0
    span: str | None = None


class RunStart(Event, tag="run.start"):
    """The first event of every run."""

    task: str
    mode: str
    model: str
    sub_model: str | None = None
    offline: bool = False
    given: list[str] = []
    budget: Limits = Limits()
    context: list[Variable] = []
    parent_run: str | None = None
    parent_span: str | None = None
    sandbox: str | None = None
    cell_timeout: float | None = None
    concurrency: int | None = None
    session: str | None = None
    approve: str = "auto"
    tools: list[str] = []
    replayed: bool = False


class RunEnd(Event, tag="run.end"):
    """The last event of every run."""

    status: RunStatus
    answer: Any = None
    error_type: str | None = None
    error: str | None = None


class RunResume(Event, tag="run.resume"):
    """The run goes on after it had ended or its process was gone, and the spans in `reopened` with it.

    From here on the models, limits and approvals are these; of limits, `seconds` is for the rest of the run.
    """

    reopened: list[str] = []
    model: str = ""
    sub_model: str | None = None
    given: list[str] = []
    budget: Limits = Limits()
    approve: str = "auto"
    tools: list[str] = []


class SpanStart(Event, tag="span.start"):
    """A timed piece of work begins below `parent`."""

    type: SpanType
    name: str
    parent: str | None = None
    depth: int = 0
    attrs: dict[str, Any] = {}
    input: str | None = None
    code: str | None = None


class SpanEnd(Event, tag="span.end"):
    """The span ends; `attrs` adds to those of its start."""

    status: SpanStatus
    output: str | None = None
    usage: Usage | None = None
    error_type: str | None = None
    error: str | None = None
    attrs: dict[str, Any] = {}


class Delta(Event, tag="delta"):
    """Text as it arrives."""

    channel: Literal["text", "stdout", "stderr", "thought"]
    text: str


class Display(Event, tag="display"):
    """A rich output of generated code, as Jupyter would carry it."""

    mimebundle: dict[str, Any]


class Artifact(Event, tag="artifact"):
    """A file or an oversized value kept beside the log; `bytes` is its size."""

    id: str
    name: str
    mime: str
    bytes: int
    sha256: str
    path: str


class BudgetChange(Event, tag="budget"):
    """The ledger after something was spent or a limit changed."""

    spent: Limits
    remaining: Limits


class LimitChange(Event, tag="limit"):
    """Somebody changed what the run may spend while it went on: all of it, or with `calls` what is below `span`.

    From here on the run's limits are `budget`, and so where it is resumed; `calls` is how many more model calls may be
    made below the span, finishing ones not counted.
    """

    budget: Limits = Limits()
    calls: int | None = None


class SandboxState(Event, tag="sandbox"):
    """A sandbox started, ended or was lost, and what protects the user from the code in it."""

    state: Literal["started", "closed", "died"]
    backend: str
    tier: str
    guarantees: dict[str, str] = {}
    missing: list[str] = []


class ApprovalAsk(Event, tag="approval.ask"):
    """The run waits for a person, before it uses `tool` in this span."""

    question: str
    options: list[str] = []
    tool: str = ""


class ApprovalAnswer(Event, tag="approval.answer"):
    """The person decided what was asked in this span; the model is told the note that comes with a "no".

    `by` is who, where a server knows it; null is whoever had the run in hand.
    """

    answer: str
    note: str | None = None
    by: str | None = None


class Note(Event, tag="note"):
    """Something a reader of the run should know."""

    level: Literal["info", "warning", "error"]
    text: str


class Unknown(Event, tag="unknown"):
    """An event of a later version, kept with its place in the sequence."""


AnyEvent = (
    RunStart
    | RunResume
    | RunEnd
    | SpanStart
    | SpanEnd
    | Delta
    | Display
    | Artifact
    | BudgetChange
    | LimitChange
    | SandboxState
    | ApprovalAsk
    | ApprovalAnswer
    | Note
    | Unknown
)

_encoder = msgspec.json.Encoder(enc_hook=repr)
_decoder = msgspec.json.Decoder(AnyEvent)


class _Head(msgspec.Struct):
    kind: str
    v: int
    run: str
    seq: int
    ts: int
    span: str | None = None


_head = msgspec.json.Decoder(_Head)
_KINDS = {kind.__struct_config__.tag for kind in AnyEvent.__args__}


def encode(event: Event) -> bytes:
    """One event as one line of JSON, without the newline."""
    return _encoder.encode(event)


def decode(line: bytes | str) -> Event:
    """The event of one line of JSON.

    Raises:
        ValueError: the line is not an event, or of a major version this program does not know.
    """
    head = _head.decode(line)
    if head.v != VERSION:
        raise ValueError(f"event version {head.v} is not known to this fleet-rlm (it reads {VERSION}); upgrade it")
    if head.kind not in _KINDS:
        return Unknown(v=head.v, run=head.run, seq=head.seq, ts=head.ts, span=head.span)
    event: Event = _decoder.decode(line)
    if isinstance(event, SpanStart) and event.span is None:
        raise ValueError("Object missing required field `span`")
    return event


def to_dict(event: Event) -> dict[str, Any]:
    """The event as plain Python values, for channels that carry dicts."""
    return msgspec.to_builtins(event, enc_hook=repr)  # type: ignore[no-any-return]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of event v1."""
    return msgspec.json.schema(AnyEvent)
