"""A dspy language model whose every call is admitted, traced and booked.

Wraps any `dspy.LM` without changing it. Each call is one `llm` span: the exact messages sent, the reply, what it used
and what it cost if that is known. Who calls says in which role, so that the ledger can keep a finishing call back.
Calls are coroutines only: cancelling the task cancels the request. A call that the run's journal holds is told again:
the model is not asked, and nothing is admitted or booked.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import dspy

from fleet_rlm.core.budget import Ledger, Purpose
from fleet_rlm.core.errors import ModelError
from fleet_rlm.core.events import Usage
from fleet_rlm.core.journal import TOO_LONG, Record, digest
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.redaction import encodable
from fleet_rlm.lm.call import Reply, call, is_spent
from fleet_rlm.lm.explain import explain, spent

Ask = Callable[[dspy.BaseLM, str | None, Any, dict[str, Any]], Awaitable[Reply]]
"""Model, prompt, messages and options to a reply."""

_role: contextvars.ContextVar[tuple[str, Purpose]] = contextvars.ContextVar("fleet_rlm_role", default=("call", "step"))


@contextlib.contextmanager
def calling_as(role: str, purpose: Purpose) -> Iterator[None]:
    """Name the model calls made inside, and say whether they may use the budget held for finishing."""
    token = _role.set((role, purpose))
    try:
        yield
    finally:
        _role.reset(token)


class MeteredLM(dspy.BaseLM):
    """`inner` with admission before, a span around, and booking after each call.

    Args:
        inner: the model to call.
        log: where the spans go.
        ledger: the run's budget.
        window: the model's context window in tokens, None where it is not known.
        ask: how a call is made; by default the model is called, else its reply is recorded, or replayed.
    """

    def __init__(
        self, inner: dspy.BaseLM, log: RunLog, ledger: Ledger, window: int | None = None, ask: Ask = call
    ) -> None:
        super().__init__(model=inner.model, model_type=inner.model_type)
        self.inner = inner
        self.kwargs = inner.kwargs
        self.cache = inner.cache
        key = inner.kwargs.get("api_key")
        self._secrets = (key,) if isinstance(key, str) else ()
        self.window = window
        self._ask_model = ask
        self._log = log
        self._ledger = ledger

    supports_function_calling = property(lambda self: self.inner.supports_function_calling)
    supports_reasoning = property(lambda self: self.inner.supports_reasoning)
    supports_response_schema = property(lambda self: self.inner.supports_response_schema)
    supported_params = property(lambda self: self.inner.supported_params)

    def __call__(self, prompt: str | None = None, *, messages: Any = None, **kwargs: Any) -> Any:
        raise TypeError("this model is called from inside a run; use the async form (acall)")

    async def acall(self, prompt: str | None = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """One model call.

        Raises:
            BudgetExhausted: the call was not admitted, and not made.
            ModelError: the model could not be reached or refused; says why in one sentence.
            dspy.ContextWindowExceededError: the prompt is too long for the model.
        """
        prompt, messages = encodable(prompt), encodable(messages)
        role, purpose = _role.get()
        # Queries run side by side and are found by what is asked; all others by their order.
        key = digest(prompt, messages, kwargs) if purpose == "query" else None
        record = self._log.recorded("llm", role, key)
        if record is not None:
            return self._again(record)
        edit = self._log.edit("llm", role, key)
        if edit is not None and edit.reply is not None:
            with self._log.span("llm", role, input=render(prompt, messages), attrs=self._attrs(key, purpose)) as span:
                span.output = edit.reply
            return [edit.reply]
        if edit is not None and edit.prompt is not None:
            prompt, messages = _with_prompt(prompt, messages, edit.prompt)
        return await self._ask(prompt, messages, kwargs, role, purpose, key)

    async def _ask(
        self, prompt: str | None, messages: Any, kwargs: dict[str, Any], role: str, purpose: Purpose, key: str | None
    ) -> Any:
        self._ledger.admit(purpose)
        usage = None
        try:
            with self._log.span("llm", role, input=render(prompt, messages), attrs=self._attrs(key, purpose)) as span:
                usage = Usage(llm_calls=1)
                try:
                    reply = await self._ask_model(self.inner, prompt, messages, kwargs)
                    usage = _usage(reply)
                except dspy.ContextWindowExceededError:
                    raise
                except Exception as error:
                    if is_spent(error):
                        usage = None  # it was not passed on
                        raise spent(error) from error
                    raise explain(error, self.model, secrets=self._secrets) from error
                finally:
                    span.usage = usage
                span.output = _text(reply.outputs)
                if reply.outputs != [span.output]:
                    span.attrs["outputs"] = reply.outputs
        finally:
            self._ledger.settle(usage)
        return reply.outputs

    def _attrs(self, key: str | None, purpose: Purpose) -> dict[str, Any]:
        finishing = {"purpose": purpose} if purpose == "finish" else {}  # which a cap does not count
        return {"model": self.model, **({} if key is None else {"key": key}), **finishing}

    def _again(self, record: Record) -> Any:
        error = record.node.error or "this call failed when it was made"
        if record.node.error_type == TOO_LONG:
            raise dspy.ContextWindowExceededError(model=self.model, message=error)
        if record.node.status != "ok":
            raise ModelError(error)
        return record.outputs


def _with_prompt(prompt: str | None, messages: Any, text: str) -> tuple[str | None, Any]:
    """The request with `text` in the place of its last message."""
    if not messages:
        return text, messages
    return prompt, [*messages[:-1], {**messages[-1], "content": text}]


def render(prompt: str | None, messages: list[dict[str, Any]] | None) -> str:
    """The request as a person reads it: one block per message, headed by its role."""
    if not messages:
        return prompt or ""
    return "\n\n".join(f"[{message['role']}]\n{_text([message.get('content')])}" for message in messages)


def _text(outputs: Any) -> str:
    parts = [part.get("text") if isinstance(part, dict) else part for part in outputs or []]
    return "\n".join(part if isinstance(part, str) else repr(part) for part in parts if part is not None)


def _usage(reply: Reply) -> Usage:
    """What dspy says was used; nothing said stays unknown."""
    told = reply.usage or {}
    details = told.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") if isinstance(details, dict) else getattr(details, "cached_tokens", None)
    return Usage(
        llm_calls=1,
        tokens_in=told.get("prompt_tokens"),
        tokens_out=told.get("completion_tokens"),
        tokens_cached=cached,
        cost_usd=reply.cost,
    )
