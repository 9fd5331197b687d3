"""One call of a dspy model, in the calling task alone where dspy allows it.

dspy's own `acall` hands every call to a thread three times: to prepare it, to find its provider and to look up its
price. With dozens of calls in flight that costs more than the call itself. Text through dspy's native client or an
engine needs none of it: the steps are the same ones, taken here in the same order, with the same retries and errors. A
price that cannot be known for a model is looked up once. Whatever this does not cover (LiteLLM, a response cache,
observers that dspy must call, several candidates) goes through `acall`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.clients import execution
from dspy.clients.backend_selection import CLIENT_KEYS
from dspy.clients.engines.lm15_engine import AsyncLM15Engine
from dspy.clients.errors import error_boundary
from dspy.clients.model_metadata import model_info
from dspy.lm15 import LM15Error, Response

from fleet_rlm.lm.transport import Transport

PRIVATE = ("prepare", "_engine", "_canonical", "_result", "_price_result", "_delay")
"""Functions of `dspy.clients.execution` called here, pinned by `tests/lm/test_call.py`."""
PRIVATE_OF_ENGINE = ("_target", "_providers", "_closed", "router", "config", "resolve")
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
            engine, request, provider = _routed(lm, prepared)
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


@dataclass(frozen=True)
class _Route:
    """Where dspy sends a model's calls, for as long as the settings of its client stay as they are."""

    settings: tuple[Any, ...]
    engine: Any
    provider: str | None
    compat: Any


_routes: weakref.WeakKeyDictionary[dspy.LM, _Route] = weakref.WeakKeyDictionary()


def _routed(lm: dspy.LM, prepared: Any) -> tuple[Any, Any, str | None]:
    """dspy's engine for a call, the request as it takes it, and the provider.

    dspy chooses: once for equal settings where its native engine is demanded, else at each call, for then the
    environment has a say in it.
    """
    client = tuple((name, prepared.legacy[name]) for name in CLIENT_KEYS if name in prepared.legacy)
    settings = (asyncio.get_running_loop(), lm.model, lm.model_type, lm._engine_spec, client)
    known = _routes.get(lm)
    if known is not None and known.settings == settings and not known.engine._closed:
        with contextlib.suppress(LM15Error, TypeError, ValueError):  # dspy shall say why it takes no such request
            return known.engine, execution._canonical(prepared, compat=known.compat), known.provider
    engine, request, provider = execution._engine(lm, prepared, True)
    if type(engine) is AsyncLM15Engine and isinstance(lm._engine_spec, str):  # dspy's own, made for this loop
        _equip(engine)
        if lm._engine_spec == "lm15":
            _routes[lm] = _Route(settings, engine, provider, engine.resolve(lm.model).compat)
    return engine, request, provider


def _equip(engine: Any) -> None:
    """Give dspy's native engine our transport, unless it has one, and let it look up each model once."""
    if not isinstance(engine.resolve, functools._lru_cache_wrapper):
        engine.resolve = functools.cache(engine.resolve)
    with engine.router._lock:  # under which it would make its own
        if engine.router._transport is None:
            engine.router._transport = Transport(engine.config.timeouts, engine.config.max_connections)


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
