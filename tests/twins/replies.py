"""What the LM server answers: text, errors in OpenAI's words, and every way a reply can go wrong on its road."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


class Gate:
    """Holds replies back until a test opens it; replies still waiting when their client leaves are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let all replies pass, from now on."""
        with self._lock:
            self._open = True
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    async def passed(self) -> None:
        """Wait until the gate is open; called by the server."""
        event = asyncio.Event()
        with self._lock:
            if self._open:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


@dataclass(frozen=True)
class Reply:
    """One answer of the server.

    Attributes:
        text: what the model says.
        status: HTTP status; other than 200 the body is `error`.
        delay: seconds before the answer begins.
        gate: hold the answer until this is opened.
        headers: added to the response.
        usage: the usage block; None leaves it out, "estimated" counts four characters as a token.
        finish: why the model stopped.
        cut: close the connection after this many bytes of the body.
        error: the object under "error" of an error body.
        raw: the body verbatim, whatever it is.
    """

    text: str = ""
    status: int = 200
    delay: float = 0
    gate: Gate | None = None
    headers: dict[str, str] = field(default_factory=dict)
    usage: dict[str, Any] | str | None = "estimated"
    finish: str = "stop"
    cut: int | None = None
    error: dict[str, Any] | None = None
    raw: bytes | None = None


def usage(tokens_in: int, tokens_out: int, cached: int = 0) -> dict[str, Any]:
    """A usage block with these counts of tokens."""
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def refused_key(key: str = "sk-refus************dkey") -> Reply:
    """401, quoting the key in OpenAI's way."""
    message = f"Incorrect API key provided: {key}. You can find your API key in your account settings."
    return _error(401, message, "invalid_request_error", "invalid_api_key")


def forbidden() -> Reply:
    """403 of a key without access to the project."""
    return _error(403, "Project does not have access to this model.", "invalid_request_error", "model_not_allowed")


def unknown_model(name: str) -> Reply:
    """404 of a model that does not exist."""
    message = f"The model `{name}` does not exist or you do not have access to it."
    return _error(404, message, "invalid_request_error", "model_not_found")


def rate_limited(retry_after: float | None = None) -> Reply:
    """429, asking for a pause in seconds."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    message = "Rate limit reached on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again later."
    return _error(429, message, "requests", "rate_limit_exceeded", headers)


def out_of_credit() -> Reply:
    """429 of an account without credit, which no pause mends."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return _error(429, message, "insufficient_quota", "insufficient_quota")


def quota_used_up() -> Reply:
    """429 of our own gateway for a quota, with the seconds until it renews."""
    message = "you may use 50,000 tokens a day, and that is used up; it renews at 00:00 UTC"
    return _error(429, message, "quota_exceeded", "quota_exceeded", {"retry-after": "40000"})


def budget_used_up() -> Reply:
    """403 of our own gateway for the budget of a run."""
    message = "the run has made all the model calls it may; give it a larger budget"
    return _error(403, message, "budget_exhausted", "budget_exhausted")


def too_long(limit: int, asked: int) -> Reply:
    """400 of a prompt longer than the context window, in tokens."""
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {asked} tokens. "
        "Please reduce the length of the messages."
    )
    return _error(400, message, "invalid_request_error", "context_length_exceeded")


def server_error(status: int = 500) -> Reply:
    """A failure on the provider's side."""
    message = "The server had an error while processing your request. Sorry about that!"
    return _error(status, message, "server_error", None)


def _error(status: int, message: str, kind: str, code: str | None, headers: dict[str, str] | None = None) -> Reply:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Reply(status=status, error=error, headers=headers or {})


def body_of(reply: Reply, request: dict[str, Any]) -> bytes:
    """The body of a reply that is sent whole."""
    if reply.raw is not None:
        return reply.raw
    if reply.status != 200:
        return json.dumps({"error": reply.error}).encode()
    message = {"role": "assistant", "content": reply.text}
    body = {
        **_head("chat.completion", request),
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": None}],
    }
    counted = _usage(reply, request)
    return json.dumps(body if counted is None else {**body, "usage": counted}).encode()


def chunks_of(reply: Reply, request: dict[str, Any]) -> Iterator[bytes]:
    """The server-sent events of a streamed reply: about a word each, then the end, then usage if it was asked for."""

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + json.dumps({**_head("chat.completion.chunk", request), "choices": choices, **more}).encode()

    yield chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]) + b"\n\n"
    for word in reply.text.replace(" ", " \0").split("\0"):
        yield chunk([{"index": 0, "delta": {"content": word}, "finish_reason": None}]) + b"\n\n"
    yield chunk([{"index": 0, "delta": {}, "finish_reason": reply.finish}]) + b"\n\n"
    if (request.get("stream_options") or {}).get("include_usage"):
        yield chunk([], usage=_usage(reply, request)) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _head(kind: str, request: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-twin", "object": kind, "created": 1, "model": request.get("model", "")}


def _usage(reply: Reply, request: dict[str, Any]) -> dict[str, Any] | None:
    if reply.usage == "estimated":
        return usage(len(json.dumps(request.get("messages", []))) // 4, len(reply.text) // 4)
    assert not isinstance(reply.usage, str)
    return reply.usage
