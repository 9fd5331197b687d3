"""What a client says on `/ws/execution`, and what it is told on both sockets.

| server says | fields |
|---|---|
| `accepted` | `id`, `run`, `session`, `next`: the question of that `id` is being answered by that run |
| `events` | `run`, `from`, `to`, `events`: events v1, in order; `from` follows the last `to` |
| `ended` | `run`, `status`, `next`: nothing more comes of it unless it is resumed; "cut" says that its kernel died |
| `watching` | `session`: from here on no run of it that begins or is resumed is missed |
| `command_result` | `id`, `command`, `result` |
| `done` | `id`: a cancel or approve was carried out |
| `error` | `id`, `code`, `message` |
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from fleet_rlm.server.asked import document
from fleet_rlm.server.services.runs.feed import Batch
from fleet_rlm.server.services.runs.models import (
    MESSAGE_CHARS,
    Id,
    Location,
    Mode,
    Name,
    Policy,
    Started,
    StartRun,
    Strict,
    TraceMode,
)

IDENTITY_FIELDS = frozenset({"tenant", "tenant_id", "user", "user_id", "workspace", "workspace_id", "roles", "owner"})
"""Who somebody is, the connection says; a message that says so is refused."""

Echo = Annotated[str, Field(max_length=64)]


class Message(Strict):
    """A question; fields as of `StartRun`."""

    type: Literal["message"]
    id: Echo | None = None
    content: Annotated[str, Field(min_length=1, max_length=MESSAGE_CHARS)]
    session_id: Name = "default"
    execution_mode: Mode = "auto"
    repo_url: Location | None = None
    repo_ref: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    context_paths: Annotated[tuple[Location, ...], Field(max_length=64)] = ()
    batch_concurrency: Annotated[int, Field(ge=1, le=64)] | None = None
    approve: Policy = "auto"
    trace_mode: TraceMode = "verbose"
    docs: Annotated[tuple[Location, ...], Field(max_length=64)] = ()

    def asked(self) -> StartRun:
        """The same as the service takes it. Raises ValidationError: the fields do not go together."""
        return StartRun(
            message=self.content,
            session=self.session_id,
            mode=self.execution_mode,
            repo_url=self.repo_url,
            repo_ref=self.repo_ref,
            context_paths=self.context_paths,
            batch_concurrency=self.batch_concurrency,
            approve=self.approve,
            docs=self.docs,
        )


class Cancel(Strict):
    """Stop a run, by default all that were begun on this connection."""

    type: Literal["cancel"]
    id: Echo | None = None
    run: Id | None = None


class Command(Strict):
    """Do something with a session without asking a model, such as `list_documents`."""

    type: Literal["command"]
    id: Echo | None = None
    command: Annotated[str, Field(min_length=1, max_length=100)]
    args: dict[str, Any] = Field(default_factory=dict)
    session_id: Name = "default"


class Approve(Strict):
    """Answer what a run asks; fields as of `ApproveRun`."""

    type: Literal["approve"]
    id: Echo | None = None
    run: Id
    answer: Annotated[str, Field(min_length=1, max_length=10_000)]
    ask: Annotated[int, Field(ge=0)] | None = None
    note: Annotated[str, Field(max_length=10_000)] | None = None


Said = Annotated[Message | Cancel | Command | Approve, Field(discriminator="type")]

_said: TypeAdapter[Message | Cancel | Command | Approve] = TypeAdapter(Said)


def heard(text: str | bytes) -> Message | Cancel | Command | Approve:
    """What a client said.

    Raises:
        ValidationError: it is none of these.
        Refused: it says something twice, or holds what is no JSON.
    """
    return _said.validate_json(document(text), strict=True)


def frame(type: str, **fields: Any) -> str:
    """One thing the server says."""
    return json.dumps({"v": 1, "type": type, **fields})


def accepted(identity: str | None, started: Started) -> str:
    """A question is being answered."""
    return frame("accepted", id=identity, **started.model_dump())


_QUIET: dict[TraceMode, tuple[bytes, ...]] = {
    "verbose": (),
    "compact": (b'{"kind":"delta"', b'{"kind":"budget"', b'{"kind":"display"'),
    "off": (b'{"kind":"delta"', b'{"kind":"budget"', b'{"kind":"display"', b'{"kind":"span.', b'{"kind":"sandbox"'),
}
"""Events left out of a trace, by how their lines begin."""


def events(batch: Batch, trace: TraceMode) -> bytes:
    """A batch of events; the numbers say what it stands for, whatever the trace leaves out."""
    quiet = _QUIET[trace]
    lines = [line for line in batch.lines if not line.startswith(quiet)] if quiet else batch.lines
    head = f'{{"v":1,"type":"events","run":"{batch.run}","from":{batch.first},"to":{batch.next - 1},"events":['
    return head.encode() + b",".join(lines) + b"]}"
