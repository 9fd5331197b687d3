"""Tools that work on the data: code in the sandbox, and recursive language models over it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from fleet_rlm.agent.tools.desk import Desk, Library
from fleet_rlm.core.errors import BudgetExhausted, FleetError, UserError
from fleet_rlm.core.log import current_span
from fleet_rlm.rlm.children import answer_in
from fleet_rlm.rlm.engine import edited, run_cell

BATCH = 20
"""Queries of one batch."""


class BatchFailed(FleetError):
    """Some queries of a batch have no answer; the message holds the answers of the others."""


def code_tool(desk: Desk) -> Callable[..., Any]:
    """`execute_code` over the run's variables."""

    async def execute_code(code: str) -> str:
        """Run a short piece of Python in the sandbox that holds the variables and return what it prints, the value of
        the last expression, or the error. State is kept between calls."""
        sandbox = await desk.ready()
        return (await run_cell(desk.scope, sandbox, edited(desk.scope, code))).text() or "(no output)"

    return execute_code


def delegate_tool(desk: Desk) -> Callable[..., Any]:
    """`delegate_to_rlm` of a run without documents."""

    async def delegate_to_rlm(query: str, context: str = "") -> str:
        """Answer a question about the variables by a recursive language model: it writes Python over them, searches,
        counts, reads, asks sub-models, and returns an answer with evidence. Use it for whatever is too large to read
        yourself. `query` must stand on its own. `context` is optional further text for it to work on."""
        return await _delegated(desk, query, context)

    return delegate_to_rlm


def session_delegate_tools(desk: Desk, library: Library) -> list[Callable[..., Any]]:
    """`delegate_to_rlm` and `delegate_to_rlm_batched` of a session, which know documents."""

    async def delegate_to_rlm(query: str, context: str = "", document: str = "") -> str:
        """Answer a question about the variables and documents by a recursive language model: it writes Python over
        them, searches, counts, reads, asks sub-models, and returns an answer with evidence. Use it for whatever is too
        large to read yourself. `query` must stand on its own. `context` is optional further text for it to work on.
        `document` is the alias of the document meant, or a URL or path, which is loaded first."""
        return await _delegated(desk, await _about(query, document, library), context)

    async def delegate_to_rlm_batched(queries: list[str], document: str = "") -> str:
        """Answer several independent questions at once, each as delegate_to_rlm does; the answers come in order as a
        JSON list. `document` is the alias, URL or path of the document meant."""
        if not queries or len(queries) > BATCH:
            raise UserError(f"give 1 to {BATCH} queries, not {len(queries)}")
        asked = [await _about(query, document, library) for query in queries]
        await desk.ready()
        slots = desk.scope.siblings[_level() + 1]

        async def one(query: str) -> str:
            async with slots:
                return await _delegated(desk, query, "")

        answers = await asyncio.gather(*map(one, asked), return_exceptions=True)
        return _all_or_raise(queries, answers)

    return [delegate_to_rlm, delegate_to_rlm_batched]


async def _delegated(desk: Desk, query: str, context: str) -> str:
    extra = {"context": context} if context else {}
    sandbox = await desk.ready()
    prediction = await answer_in(desk.scope, sandbox.afork, query, desk.names, "delegate_to_rlm", extra)
    return str(prediction.answer)


async def _about(query: str, document: str, library: Library) -> str:
    if not document:
        return query
    found = await library.get_or_load(document)
    return f"{query}\n\nThe document meant is the variable `{found.alias}` ({found.kind} from {found.source})."


def _all_or_raise(queries: list[str], answers: list[str | BaseException]) -> str:
    failed = {index: error for index, error in enumerate(answers, 1) if isinstance(error, BaseException)}
    for error in failed.values():
        if not isinstance(error, FleetError) or (isinstance(error, BudgetExhausted) and len(failed) == len(queries)):
            raise error
    if failed:
        told = "; ".join(f"query {index}: {error}" for index, error in failed.items())
        rest = {index: answer for index, answer in enumerate(answers, 1) if index not in failed}
        raise BatchFailed(
            f"{len(failed)} of {len(queries)} queries have no answer ({told}); the others by number: "
            f"{json.dumps(rest, ensure_ascii=False)}"
        )
    return json.dumps(answers, ensure_ascii=False)


def _level() -> int:
    span = current_span()
    return span.depth if span else 0
