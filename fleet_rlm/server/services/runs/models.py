"""What is asked of runs and told of them, as JSON; free of tornado, so that OpenAPI is made from it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from fleet_rlm.server.services.page import Page

MESSAGE_CHARS = 100_000

Mode = Literal["auto", "rlm_only", "tools_only", "direct"]
Policy = Literal["auto", "edits", "ask"]
Status = Literal["running", "ok", "exhausted", "stopped", "failed", "cut"]
TraceMode = Literal["compact", "verbose", "off"]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Location = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._@:-]+$")]


class Strict(BaseModel):
    """A field that is not known is refused, so that a slip of the pen is not silence."""

    model_config = ConfigDict(extra="forbid")


class RunOptions(Strict):
    """How a question is to be answered.

    Attributes:
        mode: "auto" lets the agent decide; the others leave out one half of it.
        model, sub_model: names; the server's own by default.
        budget: model calls the run may make.
        timeout: seconds for the whole run.
        depth: levels of recursion.
        batch_concurrency: sub-queries in flight at once.
        approve: which tools of the agent wait for an answer: "auto" none, "edits" those that fetch or clone, "ask"
            those that write to the session's memory and buffers too.
        context_paths: files or directories of the server's roots that the question is about.
        repo_url, repo_ref: a git repository the question is about, at a branch, tag or commit.
        docs: files, directories or URLs that become documents of the session.
        kernel_id: a running kernel to answer in, such as a notebook's; by default one of the session's own.
    """

    mode: Mode = "auto"
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    sub_model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    budget: Annotated[int, Field(ge=1, le=100_000)] | None = None
    timeout: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = None
    depth: Annotated[int, Field(ge=0, le=8)] | None = None
    batch_concurrency: Annotated[int, Field(ge=1, le=64)] | None = None
    approve: Policy = "auto"
    context_paths: Annotated[tuple[Location, ...], Field(max_length=64)] = ()
    repo_url: Location | None = None
    repo_ref: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    docs: Annotated[tuple[Location, ...], Field(max_length=64)] = ()
    kernel_id: Id | None = None

    @model_validator(mode="after")
    def _ref_of_something(self) -> RunOptions:
        if self.repo_ref is not None and self.repo_url is None:
            raise ValueError("repo_ref needs repo_url: a branch, tag or commit is one of a repository")
        return self


class StartRun(RunOptions):
    """A question. `session` is the id or the name of a session, which is made if there is none of that name."""

    message: Annotated[str, Field(min_length=1, max_length=MESSAGE_CHARS)]
    session: Name = "default"


class Started(Strict):
    """A run goes on in a session; `next` is the number of its next event."""

    run: str
    session: str
    next: int = 0


class ResumeRun(Strict):
    """What is different when a run goes on: more budget, more time, another model, another policy of approvals."""

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    sub_model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    budget: Annotated[int, Field(ge=1, le=100_000)] | None = None
    timeout: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = None
    approve: Policy | None = None


class BranchRun(ResumeRun):
    """Another run that shares the past up to `span`, with at most one of prompt, code and reply changed there."""

    span: Id
    prompt: Annotated[str, Field(max_length=MESSAGE_CHARS)] | None = None
    code: Annotated[str, Field(max_length=MESSAGE_CHARS)] | None = None
    reply: Annotated[str, Field(max_length=MESSAGE_CHARS)] | None = None

    @model_validator(mode="after")
    def _one_change(self) -> BranchRun:
        if sum(one is not None for one in (self.prompt, self.code, self.reply)) > 1:
            raise ValueError("one change makes a branch: prompt, code or reply")
        return self


class ApproveRun(Strict):
    """The answer to what a run asked, one of the options of its `approval.ask` event.

    `ask` is the number of that event, and may be left out where one question is open; the model is told `note` with a
    "no".
    """

    answer: Annotated[str, Field(min_length=1, max_length=10_000)]
    ask: Annotated[int, Field(ge=0)] | None = None
    note: Annotated[str, Field(max_length=10_000)] | None = None


class RunQuery(Strict):
    """Which runs; `session` is an id or a name, `search` a part of the task."""

    session: Name | None = None
    status: Status | None = None
    search: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 50
    offset: Annotated[int, Field(ge=0, le=2**31)] = 0


class EventQuery(Strict):
    """Which events: from `since` on, at most `limit`."""

    since: Annotated[int, Field(ge=0, le=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1_000


class Stopped(Strict):
    """A run was asked to end."""

    run: str


class GiveFeedback(Strict):
    """A judgement of a run, or of one of its spans."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = "helpful"
    value: bool | Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[float, Field(allow_inf_nan=False)] | Name
    comment: Annotated[str, Field(max_length=10_000)] | None = None
    expected: Annotated[str, Field(max_length=MESSAGE_CHARS)] | None = None
    span: Id | None = None

    @field_validator("value", mode="wrap")
    @classmethod
    def _is_a_judgement(cls, value: Any, checked: ValidatorFunctionWrapHandler) -> Any:
        """One sentence in place of what each of the kinds would have had it be."""
        try:
            return checked(value)
        except ValidationError:
            raise ValueError("a judgement is true or false, a number, or one line of up to 100 characters") from None


class Feedback(Strict):
    """A judgement as it was kept."""

    id: str
    run: str
    span: str | None
    name: str
    value: Any
    comment: str | None
    expected: Any
    created_at: datetime.datetime


class Usage(Strict):
    """What model calls used; null was not reported."""

    llm_calls: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    cost_usd: float | None = None


class Ask(Strict):
    """What a run waits for a person to decide before it uses `tool` in a span: `approve` takes `seq` as its `ask`, and
    one of the options as its `answer`."""

    seq: int
    span: str
    tool: str
    question: str
    options: list[str]
    asked_at: datetime.datetime


class Run(Strict):
    """A run. `status` is "running", "ok", "exhausted", "stopped", "failed", or "cut" where its kernel died: resume it.

    `asks` is what it waits for now, oldest first. `next` is the number of its next event: events before it can be read.
    """

    id: str
    session: str | None
    parent_run: str | None
    status: Status
    task: str
    mode: str | None
    model: str | None
    sub_model: str | None
    offline: bool
    answer: Any
    error_type: str | None
    error: str | None
    usage: Usage
    started_at: datetime.datetime
    ended_at: datetime.datetime | None
    asks: list[Ask]
    next: int


class Span(Strict):
    """One timed piece of a run; `status` is "running" while it has no end."""

    id: str
    parent: str | None
    type: str
    name: str
    depth: int
    status: str
    started_at: datetime.datetime
    ended_at: datetime.datetime | None
    input: str | None
    code: str | None
    output: str | None
    error_type: str | None
    error: str | None
    usage: Usage | None
    attrs: dict[str, Any]


class SpanPage(Page[Span]):
    """The spans of a run."""

    @classmethod
    def whole(cls, spans: Sequence[Span]) -> SpanPage:
        """All of them."""
        return cls(items=list(spans), total=len(spans), offset=0, limit=len(spans), has_more=False)


class EventPage(Strict):
    """Events from `since` on, as the run wrote them (event v1); `next` is where to read on, and `ended` says that
    nothing will follow unless the run is resumed."""

    run: str
    since: int
    next: int
    ended: bool
    events: list[dict[str, Any]]
