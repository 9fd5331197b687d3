"""Children: the two doors to a recursive RLM, both on forks and both on the run's budget.

`answer_in` is the door of whoever holds the run's sandbox: a fork of it, between cells. `sub_rlm` and
`sub_rlm_batched` are the doors of code in a sandbox: a fork of the calling cell, so the child starts with its parent's
variables. A child gets an RLM of its own, one level deeper; what goes wrong in it is an exception in whoever called,
with the reason. The span of a child says whether its sandbox was forked or spawned, and which variables a spawn lost.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import dspy

from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.journal import NotRecorded, Record, digest, rebuilt_span
from fleet_rlm.core.log import Span, current_span
from fleet_rlm.rlm import describe as describe_module
from fleet_rlm.rlm.engine import FleetRLM
from fleet_rlm.rlm.prompts import sandbox_instructions
from fleet_rlm.rlm.queries import query_tools
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.sandbox.base import CONTEXT_GIVEN, ForkingTool, Sandbox

Fork = Callable[[], Awaitable[Sandbox]]


class ChildFailed(FleetError):
    """A child ended without an answer; the message says why."""


def fill(scope: Scope, sandbox: Sandbox, names: list[str]) -> None:
    """Give a sandbox the functions its code may call, with `names` as the inputs a child falls back to."""
    sandbox.tools = query_tools(scope)
    if _level() < scope.ledger.budget.depth:
        sandbox.tools |= {
            "sub_rlm": ForkingTool(_sub_rlm(scope, names)),
            "sub_rlm_batched": ForkingTool(_sub_rlm(scope, names), batched=True),
        }


def build_delegate_child(scope: Scope, names: list[str], calls: int | None = None) -> FleetRLM:
    """The RLM at the top of a run, or delegated to by the agent: reads the variables `names`."""
    signature = f"{', '.join(['prompt', *names])} -> answer"
    recursive = _level() < scope.ledger.budget.depth
    instructions = sandbox_instructions(scope, recursive=recursive)
    return FleetRLM(signature, scope=scope, instructions=instructions, calls=calls)


def build_recursive_subquery_rlm(scope: Scope, names: list[str], calls: int | None = None) -> FleetRLM:
    """The RLM below an RLM: reads the variables `names` of its fork, on the sub-model."""
    child = build_delegate_child(scope, names, calls)
    child.set_lm(scope.sub_lm)
    return child


async def answer_in(
    scope: Scope,
    fork: Fork,
    query: str,
    names: list[str],
    door: str,
    extra: dict[str, Any] | None = None,
    told: Mapping[str, dict[str, str]] | None = None,
) -> dspy.Prediction:
    """Answer `query` by an RLM in a fork, one level of recursion deeper.

    Args:
        fork: gives a sandbox with the variables `names`; asked again if that one dies.
        door: how the RLM was reached, the name of its span.
        extra: further values for the fork, by name.
        told: descriptions that stand in the place of those `describe` would give, by name.

    Returns:
        the prediction: `answer`, `trajectory`, `finished_early`.
    """
    names = list(dict.fromkeys([*names, *(extra or {})]))
    key = digest(query, extra) if extra else digest(query)
    record = scope.log.recorded("rlm", door, key)
    if record is not None and record.is_settled:
        early = record.node.attrs.get("finished_early")
        return dspy.Prediction(answer=record.output, trajectory=[], finished_early=early)
    calls = _calls(scope, record)
    attrs = {"key": key, "calls": calls}
    with scope.log.span("rlm", door, input=query, attrs=attrs, deeper=True, record=record) as span:
        if record is None:  # else it was admitted when it began
            scope.ledger.admit_child(_level())
        values = {**(extra or {}), "prompt": span.input}
        prediction = await _answer(scope, fork, values, names, build_delegate_child, calls, told=told)
        return _answered(span, prediction)


def _answered(span: Span, prediction: dspy.Prediction) -> dspy.Prediction:
    span.output = str(prediction.answer)
    if prediction.finished_early is not None or span.is_new:  # not early any more, if it was
        span.attrs["finished_early"] = prediction.finished_early
    return prediction


def _sub_rlm(scope: Scope, names: list[str]) -> Callable[..., Awaitable[Any]]:
    async def sub_rlm(fork: Fork, prompt: str) -> Any:
        level, key = _level() + 1, digest(prompt)
        record = scope.log.recorded("rlm", "sub_rlm", key)
        if rebuilt_span() is not None:
            return _as_it_ended(record)
        if record is not None and record.is_settled:
            return record.output
        if record is None:
            scope.ledger.admit_child(level)
        async with scope.siblings[level]:
            calls = _calls(scope, record)
            attrs = {"key": key, "calls": calls}
            with scope.log.span("rlm", "sub_rlm", input=prompt, attrs=attrs, deeper=True, record=record) as span:
                given = {"prompt": span.input}
                try:
                    build = build_recursive_subquery_rlm
                    prediction = await _answer(scope, fork, given, names, build, calls, narrow=True)
                except FleetError as error:
                    raise ChildFailed(f"the sub-RLM ended without an answer: {error}") from error
                return _answered(span, prediction).answer

    return sub_rlm


def _calls(scope: Scope, record: Record | None) -> int | None:
    """The model calls an RLM is told of: what is left. One that goes on under the same limit is told what it was told,
    so that its prompts stay the same to the letter."""
    left = scope.ledger.remaining().calls
    if record is None or record.journal.tree.limits.calls != scope.ledger.budget.calls:
        return left
    told: int | None = record.node.attrs.get("calls", left)
    return told


def _as_it_ended(record: Record | None) -> str:
    """The answer or failure a child gave when its parent's cell ran first."""
    if record is None:
        raise NotRecorded("this sub-RLM was not asked when the cell ran first, and nothing is paid twice")
    if record.node.status != "ok":
        raise ChildFailed(record.node.error or "the sub-RLM ended without an answer")
    return record.output or ""


async def _answer(
    scope: Scope,
    fork: Fork,
    values: dict[str, Any],
    names: list[str],
    build: Callable[[Scope, list[str], int | None], FleetRLM],
    calls: int | None,
    *,
    narrow: bool = False,
    told: Mapping[str, dict[str, str]] | None = None,
) -> dspy.Prediction:
    """Fill a fork with `values`, describe `names` in it (`narrow`: only a `context` it was given), and answer."""
    opened: list[Sandbox] = []

    async def open_fork() -> Sandbox:
        sandbox = await fork()
        opened.append(sandbox)
        if (span := current_span()) is not None:
            span.attrs["started_by"] = sandbox.started_by
            span.attrs |= {"dropped": list(sandbox.dropped)} if sandbox.dropped else {}
        for name, value in values.items():
            await sandbox.aput(name, value)
        fill(scope, sandbox, names)
        return sandbox

    try:
        sandbox = await open_fork()
        names = ["context"] if narrow and await _was_given_context(sandbox) else names
        described = [(told or {}).get(one["name"], one) for one in await describe_in(sandbox, names)]
        rlm = build(scope, [variable["name"] for variable in described], calls)
        return await rlm.acall(sandbox=sandbox, variables=[_question(values["prompt"]), *described], reopen=open_fork)
    finally:
        for sandbox in opened:
            await sandbox.aclose()


def _question(prompt: str) -> dict[str, str]:
    return {"name": "prompt", "type": "str", "size": f"{len(prompt):,} characters; the question", "preview": prompt}


async def _was_given_context(sandbox: Sandbox) -> bool:
    result = await sandbox.aexecute(f"globals().get({CONTEXT_GIVEN!r}, False)")
    return result.value == "True"


async def describe_in(sandbox: Sandbox, names: list[str]) -> list[dict[str, str]]:
    """Descriptions of those variables that exist inside a sandbox, by the same code that describes them outside."""
    source = inspect.getsource(describe_module)
    code = (
        f"def _fleet_describe(names, values, source):\n"
        f"    space = {{'__name__': '_fleet_describe'}}\n"
        f"    exec(source, space)\n"
        f"    return [space['describe'](name, values[name]) for name in names if name in values]\n"
        f"_fleet_described = _fleet_describe({names!r}, globals(), {source!r})\n"
        f"del _fleet_describe"
    )
    result = await sandbox.aexecute(code)
    if result.error is not None:
        raise ChildFailed(f"the child's variables cannot be described: {result.error.message}")
    described = await sandbox.aget("_fleet_described")
    return json.loads(described) if isinstance(described, str) else described  # type: ignore[no-any-return]


def _level() -> int:
    span = current_span()
    return span.depth if span else 0
