"""Sub-queries: what code in a sandbox asks a model directly.

Coroutines with one bound on how many run at once, admitted one by one against the run's budget, gone the moment the
run is stopped. A prompt too long for the model is refused before it is sent, with the size that fits.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fleet_rlm.core.errors import BudgetExhausted, FleetError
from fleet_rlm.lm.metered import calling_as
from fleet_rlm.rlm.scope import Scope


class QueryError(FleetError):
    """A sub-query cannot be sent as it is."""


def query_tools(scope: Scope) -> dict[str, Any]:
    """`llm_query` and `llm_query_batched` for a sandbox of this scope."""

    async def llm_query(prompt: str) -> str:
        """Ask the sub-model one question; returns its reply.

        Raises:
            QueryError: the prompt is not a text, is empty, or is too long for the model.
            BudgetExhausted: no call is left for it.
            ModelError: the model failed.
        """
        _check(prompt, scope.query_chars)
        if scope.ledger.budget.depth < 1:
            raise BudgetExhausted("depth", "this run allows no sub-queries (depth 0); work with plain code")
        async with scope.queries:
            with calling_as("query", "query"):
                outputs = await scope.sub_lm.acall(prompt)
        first = outputs[0]
        text = first.get("text") if isinstance(first, dict) else first
        return text if isinstance(text, str) else ""

    async def llm_query_batched(prompts: list[str], return_exceptions: bool = False) -> list[Any]:
        """Ask many questions at once; returns the replies in order.

        A prompt that stands more than once is asked once. If any fails, the others are still answered, and all
        failures are raised together, unless `return_exceptions` asks for them in place.
        """
        if isinstance(prompts, str):
            raise QueryError("llm_query_batched takes a list of prompts; for one prompt use llm_query(prompt)")
        distinct = list(dict.fromkeys(prompts))
        results = await asyncio.gather(*map(llm_query, distinct), return_exceptions=True)
        by_prompt = dict(zip(distinct, results, strict=True))
        failures = {prompt: result for prompt, result in by_prompt.items() if isinstance(result, BaseException)}
        if failures and not return_exceptions:
            reasons = "; ".join(sorted({f"{type(error).__name__}: {error}" for error in failures.values()}))
            raise QueryError(
                f"{len(failures)} of {len(distinct)} sub-queries failed ({reasons}); "
                "pass return_exceptions=True to get the replies that succeeded"
            )
        return [by_prompt[prompt] for prompt in prompts]

    return {"llm_query": llm_query, "llm_query_batched": llm_query_batched}


def _check(prompt: Any, limit: int | None) -> None:
    if not isinstance(prompt, str):
        raise QueryError(f"a prompt is a str, not {type(prompt).__name__}")
    if not prompt.strip():
        raise QueryError("the prompt is empty")
    if limit is not None and len(prompt) > limit:
        raise QueryError(
            f"the prompt has {len(prompt):,} characters and the sub-model takes about {limit:,}; "
            f"split it into {-(-len(prompt) // limit)} parts and use llm_query_batched"
        )
