"""One call of a dspy model, in the calling task alone where dspy allows it.

dspy's own `acall` hands every call to a thread three times: to prepare it, to find its provider and to look up its
price. With dozens of calls in flight that costs more than the call itself. Text through dspy's native client or an
engine needs none of it: the steps are the same ones, taken here in the same order, with the same retries and errors. A
price that cannot be known for a model is looked up once. Whatever this does not cover (LiteLLM, a response cache,
observers that dspy must call, several candidates) goes through `acall`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.clients import execution
from dspy.clients.engines.lm15_engine import AsyncLM15Engine
from dspy.clients.errors import error_boundary
from dspy.clients.model_metadata import model_info
from dspy.lm15 import Response

PRIVATE = ("prepare", "_engine", "_result", "_price_result", "_delay")
"""Functions of `dspy.clients.execution` called here, pinned by `tests/lm/test_call.py`."""
PRIVATE_OF_ENGINE = ("_target", "_providers")
"""What is used of dspy's native engine, pinned there too."""

_unpriced: set[tuple[str, str]] = set()
"""Provider and model of which dspy's price list has no entry."""


SPENT = ("quota_exceeded", "budget_exhausted")
"""With these codes the server's gateway refuses a call that it must not pass on; a pause does not mend that."""


@dataclass(frozen=True)
class Reply:
    """What a model said: dspy's outputs, and usage and price as far as they are known."""

    outputs: Any
    usage: dict[str, Any] | None = None
    cost: float | None = None


async def call(lm: dspy.BaseLM, prompt: str | None, messages: Any, options: dict[str, Any]) -> Reply:
    """Call the model once, with its own retries.

    Raises:
        dspy.LMError: the model could not be reached or refused.
    """
    if _plain(lm):
        prepared = execution.prepare(lm, prompt, messages, options, asynchronous=True)
        if prepared.managed and not prepared.cache and prepared.n == 1:
            engine, request, provider = execution._engine(lm, prepared, True)
            if request is not None:
                return await _asked(lm, prepared, engine, request, provider)
    one = lm.copy()  # its history holds exactly this call, with usage and price
    with dspy.context(disable_history=False, send_stream=None):
        outputs = await one.acall(prompt, messages=messages, **options)
    if not one.history:
        return Reply(outputs)
    return Reply(outputs, one.history[-1].get("usage"), one.history[-1].get("cost"))


def is_spent(error: BaseException) -> bool:
    """Whether the gateway refused the call because what may be used is used up."""
    return getattr(error, "provider_code", None) in SPENT


def _plain(lm: dspy.BaseLM) -> bool:
    observed = lm.callbacks or dspy.settings.callbacks or dspy.settings.usage_tracker
    return type(lm) is dspy.LM and not observed


async def _asked(lm: dspy.LM, prepared: Any, engine: Any, request: Any, provider: str | None) -> Reply:
    response = await _with_retries(lm, engine, request, provider)
    result = execution._result(lm, response, prepared, provider, request, estimate=False)
    if provider is not None and (provider, request.model) not in _unpriced:
        # In a thread, because the first look may fetch the price list.
        await asyncio.to_thread(_price, lm, result, response, provider, request)
    return Reply(result.outputs, result.usage, result.cost)


def _price(lm: dspy.LM, result: Any, response: Response, provider: str, request: Any) -> None:
    execution._price_result(lm, result, response, provider, request)
    if result.cost is None and not any(model_info(provider, name) for name in (response.model, request.model)):
        _unpriced.add((provider, request.model))


async def _completed(engine: Any, request: Any) -> Response:
    """`engine.complete(request)`, without a thread to find the provider once the engine has it with its credentials."""
    if type(engine) is AsyncLM15Engine and engine._providers:
        provider, routed = engine._target(request)
        return await provider.complete(routed)
    return await engine.complete(request)


async def _with_retries(lm: dspy.LM, engine: Any, request: Any, provider: str | None) -> Response:
    attempt = 0
    while True:
        try:
            with error_boundary(lm.model, provider=provider, unexpected=True):
                return await _completed(engine, request)
        except Exception as error:
            if is_spent(error) or attempt >= lm.num_retries or not dspy.utils.exceptions.is_retryable_lm_error(error):
                raise
            await asyncio.sleep(execution._delay(error, attempt))
            attempt += 1
