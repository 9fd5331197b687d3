"""Gateway: passes a kernel's model call on to the provider, with the server's key and within the kernel's grant.

The body goes on as it came, but for the model's name; what comes back goes back as it comes. Of both only the counts of
tokens are looked at, and nothing of either is logged.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from fleet_rlm.lm.catalog import Price, chat_models
from fleet_rlm.server import metrics
from fleet_rlm.server.services.allowances import COST, MICRO
from fleet_rlm.server.services.errors import Refused, ServiceError
from fleet_rlm.server.services.lm.grants import Grant, Grants
from fleet_rlm.server.services.lm.metering import Meter, UpstreamFailed, Used
from fleet_rlm.server.services.lm.upstream import Models, Upstream
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.quotas import QuotaReached, Quotas, Reserved

BODY_BYTES = 32 << 20
"""What a request may have; the handler reads no more."""

TIMEOUT = httpx.Timeout(600.0, connect=10.0)
CONNECTIONS = httpx.Limits(max_connections=256, max_keepalive_connections=64)
ANSWER_TOKENS = 1_000

ELSEWHERE = frozenset(
    {
        *("models", "route", "provider", "fallbacks", "context_window_fallbacks", "model_list"),
        *("api_base", "base_url", "api_key", "api_version", "api_type", "custom_llm_provider"),
    }
)
"""Fields by which routers, such as OpenRouter's and LiteLLM's, are told of other models, addresses and keys."""


class NoSuchModel(ServiceError):
    """The model is not among those of this server."""

    status, code = 404, "model_not_found"


class UpstreamRefused(ServiceError):
    """The provider does not accept the server's key; what it says of the key is not passed on."""

    status, code = 401, "provider_refused"


@dataclass
class Passed:
    """An answer on its way: its status and type, and its body as it comes."""

    status: int
    content_type: str
    body: AsyncIterator[bytes]
    retry_after: str | None


class Gateway:
    """Calls models for kernels.

    Args:
        models: those of this server.
        grants: who may call, and how much.
        quotas: what their owners may use.

    Attributes:
        address: where kernels reach it.
        refused: aliases of models whose provider did not accept the key when it was called last.
    """

    def __init__(self, models: Models, grants: Grants, quotas: Quotas) -> None:
        self._quotas = quotas
        self.models = models
        self.grants = grants
        self.address = ""
        self.refused: set[str] = set()
        self._client = httpx.AsyncClient(timeout=TIMEOUT, limits=CONNECTIONS, follow_redirects=False, trust_env=True)

    def environment(self, kernel_id: str, owner: Owner) -> dict[str, str]:
        """The variables by which a new kernel finds its models."""
        if self.models.main is None:
            return {"FLEET_LM": "fleet/offline"}
        sub = {} if self.models.sub is None else {"FLEET_SUB_LM": self.models.sub.in_kernel}
        return {
            "FLEET_LM": self.models.main.in_kernel,
            **sub,
            "OPENAI_BASE_URL": self.address,
            "OPENAI_API_KEY": self.grants.issue(kernel_id, owner),
        }

    @asynccontextmanager
    async def chat(self, grant: Grant, raw: bytes) -> AsyncIterator[Passed]:
        """Pass one chat completion on; leaving the block early cancels it.

        Raises:
            Refused, NoSuchModel, Spent, QuotaReached: it is not passed on.
            UpstreamFailed, UpstreamRefused: the provider does not answer.
        """
        body = _body(raw)
        upstream = self._upstream(body)
        expected = _expected(raw, body)
        grant.reserve(expected.read)
        meter = Meter()
        price = chat_models()[upstream.listed].price if upstream.listed in chat_models() else None
        is_carried_out, outcome, reserved = False, "refused", None
        try:
            reserved = await self._reserved(grant.owner, expected, price)
            outcome = "failed"
            async with self._sent(upstream, body) as response:
                is_carried_out = response.is_success
                outcome = "answered" if is_carried_out else outcome
                yield Passed(
                    response.status_code,
                    response.headers.get("Content-Type", "application/json"),
                    meter.reading(response),
                    response.headers.get("Retry-After"),
                )
        except asyncio.CancelledError:  # the provider has the question, and whoever hung up pays for it
            is_carried_out = is_carried_out or outcome == "failed"
            raise
        finally:
            used = meter.at_least(expected) if is_carried_out else meter.used
            grant.settle(is_carried_out, used.tokens, expected.read)
            metrics.LM_CALLS.labels(outcome).inc()
            metrics.LM_TOKENS.inc(meter.used.tokens)
            if reserved is not None:
                reserved.settle(**_charged(used, price))

    async def listed(self, upstream: Upstream) -> int:
        """The status with which a provider lists its models: it is there, and takes the key. Raises httpx.HTTPError."""
        headers = {"Authorization": f"Bearer {upstream.key}"} if upstream.key else {}
        return (await self._client.get(f"{upstream.base}/models", headers=headers, timeout=5.0)).status_code

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _reserved(self, owner: Owner, expected: Used, price: Price | None) -> Reserved:
        try:
            return await self._quotas.reserve(owner, **_charged(expected, price))
        except QuotaReached as reached:  # a client that waits as long as it is told would wait until midnight
            raise QuotaReached(str(reached), reached.metric, None) from None

    def _upstream(self, body: dict[str, Any]) -> Upstream:
        name = body.get("model")
        found = self.models.known.get(name) if isinstance(name, str) else None
        if found is None:
            there_are = ", ".join(self.models.known) or "none"
            raise NoSuchModel(f"this server has no model of that name; there are: {there_are}")
        return found

    @asynccontextmanager
    async def _sent(self, upstream: Upstream, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        sent = {**body, "model": upstream.model}
        if body.get("stream"):  # or a provider tells no usage, and the budget would be blind
            options = body.get("stream_options")
            sent["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        headers = {"Authorization": f"Bearer {upstream.key}"} if upstream.key else {}
        headers["Content-Type"] = "application/json"
        content = json.dumps(sent)  # escaped, because half of a surrogate pair has no other form
        try:
            request = self._client.build_request(
                "POST", f"{upstream.base}/chat/completions", content=content, headers=headers
            )
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise UpstreamFailed(f"the provider cannot be reached ({type(error).__name__})") from error
        try:
            if response.status_code in (401, 403):
                self.refused.add(upstream.alias)
                raise UpstreamRefused("the provider does not accept this server's key; tell its administrator")
            self.refused.discard(upstream.alias)
            yield response
        finally:
            await response.aclose()


def _expected(raw: bytes, body: Mapping[str, Any]) -> Used:
    """About what a call uses: a prompt has four bytes a token, an answer rarely more than a thousand tokens."""
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    told, answer = len(raw) // 4, min(most, ANSWER_TOKENS) if isinstance(most, int) and most > 0 else ANSWER_TOKENS
    return Used(told + answer, told, answer)


def _charged(used: Used, price: Price | None) -> dict[str, int]:
    """By metric; what a model costs whose price is not known is not charged."""
    cost = 0.0 if price is None else price.of(used.read, used.written, used.cached)
    return {"tokens_per_day": used.tokens, COST: math.ceil(cost * MICRO)}


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # no JSON, or none that can be written again
        raise ValueError(text)
    return number


def _body(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise Refused("the body must be a chat completion request: a JSON object with model and messages")
    if body.get("n") not in (None, 1):
        raise Refused("ask for one completion at a time (n=1): each is a call of the budget")
    if elsewhere := sorted(ELSEWHERE & body.keys()):
        raise Refused(f"leave out {', '.join(elsewhere)}: which model answers, and where, this server says")
    return body
