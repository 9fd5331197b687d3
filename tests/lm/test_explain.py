"""What a user reads when a model call fails: every failure made by a real server and a real client."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import dspy
import pytest

from fleet_rlm.core.errors import ModelError
from fleet_rlm.lm.explain import explain
from tests.twins import replies
from tests.twins.lm_server import LMServer
from tests.twins.replies import Reply

KEY = "sk-test-0123456789abcdefghij"


def failure(lm: dspy.LM) -> Exception:
    with pytest.raises(dspy.LMError) as failed:
        asyncio.run(lm.acall("Hello?"))
    return failed.value


def explained(reply: Reply, model: str = "openai/gpt-4o", key: str = KEY, **client: Any) -> str:
    """The sentence for what the server answers."""
    with LMServer(reply) as server:
        error = failure(dspy.LM(model, api_base=server.base_url, api_key=key, cache=False, num_retries=0, **client))
    told = explain(error, model)
    assert isinstance(told, ModelError)
    assert told.__cause__ is error
    assert "\n" not in str(told)
    assert KEY not in str(told)
    return str(told)


def test_a_refused_key_names_the_variable_and_not_the_key() -> None:
    told = explained(replies.refused_key(f"Bearer {KEY}"))
    assert told == "openai/gpt-4o: the key was refused (401); check OPENAI_API_KEY, or the api_key you gave"


def test_a_key_without_access_is_not_called_wrong() -> None:
    assert explained(replies.forbidden()) == (
        "openai/gpt-4o: your key is not allowed to use it (403); choose another model or ask for access"
    )


def test_an_unknown_model_comes_with_the_nearest_names() -> None:
    told = explained(replies.unknown_model("gpt-4o-mni"), model="openai/gpt-4o-mni")
    assert told.startswith("openai/gpt-4o-mni does not exist, or your key may not use it; did you mean ")
    assert "openai/gpt-4o-mini" in told


def test_an_address_that_serves_nothing_is_told_apart_from_an_unknown_model() -> None:
    told = explained(Reply(status=404, raw=b"404 page not found"))
    assert "nothing is served there" in told
    assert "/v1" in told


def test_a_rate_limit_says_how_long_to_wait() -> None:
    assert "(429); try again in 7 s" in explained(replies.rate_limited(retry_after=7))
    assert "(429); try again in a minute" in explained(replies.rate_limited())


def test_an_account_without_credit_is_told_apart_from_a_rate_limit() -> None:
    assert "no credit left" in explained(replies.out_of_credit())


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failing_provider_is_not_the_users_fault(status: int) -> None:
    assert explained(replies.server_error(status)) == (
        f"openai/gpt-4o: the provider failed ({status}); try again in a minute or choose another model"
    )


@pytest.mark.parametrize("reply", [Reply("late", gate=replies.Gate()), replies.server_error(504)])
def test_no_answer_in_time_is_a_timeout(reply: Reply) -> None:
    assert "did not answer in time" in explained(reply, timeout=0.2)


def test_a_cut_connection_is_told_as_such() -> None:
    assert "cannot be reached (connection closed" in explained(Reply("a long answer", cut=20))


def test_a_server_that_is_not_there_is_told_by_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    lm = dspy.LM("openai/local", api_base=f"http://127.0.0.1:{port}/v1", api_key=KEY, cache=False, num_retries=0)
    told = str(explain(failure(lm), "openai/local"))
    assert f"127.0.0.1:{port}" in told
    assert "check the network, and that its server is running" in told


@pytest.mark.parametrize("body", [b"{oops", b"<html>please log in</html>", b""])
def test_a_body_that_is_no_reply_is_told_as_such(body: bytes) -> None:
    told = explained(Reply(raw=body))
    assert "what came back is not a model's reply" in told


def test_a_rejected_request_repeats_what_the_provider_said_without_secrets() -> None:
    error = {"message": f"temperature is out of range for {KEY}\nsecond line", "type": "invalid_request_error"}
    told = explained(Reply(status=400, error=error))
    assert told.startswith(
        "openai/gpt-4o: the provider rejected the request (temperature is out of range for [redacted]"
    )


def test_a_key_of_no_known_shape_is_removed_if_it_is_named() -> None:
    error = dspy.LMInvalidRequestError("the token blue-horse-battery is odd")
    assert "blue-horse-battery" not in str(explain(error, "openai/x", secrets=["blue-horse-battery"]))


def test_a_long_complaint_is_cut_to_a_line() -> None:
    assert len(explained(Reply(status=400, error={"message": "very " * 1000}))) < 320


def test_a_prompt_longer_than_the_window_says_so() -> None:
    assert "the prompt is too long for openai/gpt-4o" in explained(replies.too_long(128_000, 130_001))


def test_a_key_missing_at_the_call_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    told = str(explain(failure(dspy.LM("groq/some-model", cache=False, num_retries=0)), "groq/some-model"))
    assert told == "groq/some-model needs a key: set GROQ_API_KEY in the environment, or use another model"


def test_the_same_sentences_come_through_litellm() -> None:
    told = explained(replies.refused_key(), engine="litellm")
    assert told == "openai/gpt-4o: the key was refused (401); check OPENAI_API_KEY, or the api_key you gave"
    assert "does not exist" in explained(replies.unknown_model("gpt-4o"), engine="litellm")
    assert "(429)" in explained(replies.rate_limited(), engine="litellm")


def test_a_model_error_inside_an_engine_is_not_wrapped_again() -> None:
    inner = ModelError("already one clear sentence")

    class Broken:
        def complete(self, request: Any) -> Any:
            raise inner

    class AsyncBroken:
        async def complete(self, request: Any) -> Any:
            raise inner

    lm = dspy.LM("own/engine", engine=Broken(), async_engine=AsyncBroken(), cache=False, num_retries=0)
    assert explain(failure(lm), "own/engine") is inner


def test_an_error_of_no_known_kind_still_names_model_and_kind() -> None:
    assert str(explain(RuntimeError("odd"), "own/engine")) == "own/engine: the call failed (RuntimeError: odd)"
