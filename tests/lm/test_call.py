"""A call taken here does what dspy's own does: the same reply, the same retries, the same price, the same errors."""

from __future__ import annotations

import asyncio
from typing import Any

import dspy
import pytest
from dspy.clients import execution
from dspy.clients.engines.lm15_engine import AsyncLM15Engine, LM15Engine
from dspy.lm15 import RouterConfig

from fleet_rlm.lm import call as module
from fleet_rlm.lm.call import Reply, call
from fleet_rlm.lm.transport import Transport
from tests.twins import replies
from tests.twins.lm_server import LMServer
from tests.twins.replies import rate_limited, refused_key, server_error


def client(server: LMServer, model: str = "openai/gpt-4o", **options: Any) -> dspy.LM:
    return dspy.LM(model, api_base=server.base_url, api_key="k", cache=False, **options)


def asked(lm: dspy.BaseLM, prompt: str = "Hello?") -> Reply:
    return asyncio.run(call(lm, prompt, None, {}))


def dspys(lm: dspy.BaseLM, prompt: str = "Hello?") -> Reply:
    one = lm.copy()
    outputs = asyncio.run(one.acall(prompt))
    return Reply(outputs, one.history[-1]["usage"], one.history[-1]["cost"])


@pytest.mark.parametrize("name", module.PRIVATE)
def test_dspy_has_the_private_names_we_call(name: str) -> None:
    assert callable(getattr(execution, name))


@pytest.mark.parametrize("name", module.PRIVATE_OF_ENGINE)
def test_dspys_native_engine_has_what_we_use_of_it(name: str) -> None:
    assert hasattr(AsyncLM15Engine(), name)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/never-heard-of"])
@pytest.mark.parametrize("usage", [replies.usage(1000, 100, cached=400), None])
def test_outputs_usage_and_price_are_dspys(model: str, usage: Any) -> None:
    with LMServer(replies.Reply("Paris", usage=usage)) as server:
        lm = client(server, model)
        assert [asked(lm), asked(lm)] == [dspys(lm)] * 2
        one, other = server.requests[0].body, server.requests[-1].body
    assert one == other


def test_settings_of_the_model_are_sent_as_dspy_sends_them() -> None:
    with LMServer("Paris") as server:
        lm = client(server, temperature=0.5, max_tokens=77)
        asked(lm)
        dspys(lm)
    assert server.requests[0].body == server.requests[1].body
    assert server.requests[0].body["temperature"] == 0.5


def test_what_may_pass_is_tried_again_and_what_may_not_is_not() -> None:
    with LMServer(lambda _request, index: rate_limited(0) if index < 2 else "at last") as server:
        assert asked(client(server)).outputs == ["at last"]
        assert server.calls == 3
    with LMServer(refused_key()) as server, pytest.raises(dspy.LMError):
        asked(client(server))
    assert server.calls == 1


def test_retries_end_where_the_model_says() -> None:
    with LMServer(server_error(503)) as server, pytest.raises(dspy.LMError) as ours:
        asked(client(server, num_retries=0))
    assert server.calls == 1
    with LMServer(server_error(503)) as server, pytest.raises(dspy.LMError) as theirs:
        dspys(client(server, num_retries=0))
    assert type(ours.value) is type(theirs.value)


def test_whoever_observes_dspys_calls_sees_these_too() -> None:
    class Observer(dspy.utils.callback.BaseCallback):  # type: ignore[name-defined]
        seen = 0

        def on_lm_start(self, *_: Any, **__: Any) -> None:
            self.seen += 1

    with LMServer("Paris") as server:
        own, everywhere = Observer(), Observer()
        asked(client(server, callbacks=[own]))
        with dspy.context(callbacks=[everywhere]):
            asked(client(server))
        with dspy.track_usage() as tracker:
            asked(client(server))
    assert (own.seen, everywhere.seen) == (1, 1)
    assert tracker.get_total_tokens()["openai/gpt-4o"]["total_tokens"] > 0


def test_a_response_cache_that_is_asked_for_is_used() -> None:
    with LMServer("Paris") as server:
        lm = dspy.LM("openai/gpt-4o", api_base=server.base_url, api_key="k", cache=True)
        question = f"Is {server.port} cached?"
        assert asked(lm, question).outputs == asked(lm, question).outputs == ["Paris"]
    assert server.calls == 1


def test_several_candidates_all_come_back() -> None:
    with LMServer("Paris") as server:
        assert asked(client(server, n=2, temperature=1.0)).outputs == ["Paris", "Paris"]


def test_calls_under_another_models_name_are_not_mixed_up() -> None:
    with LMServer(lambda request, _index: request["model"]) as server:
        assert [asked(client(server, f"openai/{name}")).outputs for name in ("a", "b", "a")] == [["a"], ["b"], ["a"]]


def test_the_second_call_goes_the_remembered_way_and_changed_settings_are_heeded() -> None:
    async def three(lm: dspy.LM) -> list[Reply]:
        first, second = await call(lm, "Hello?", None, {}), await call(lm, "Hello?", None, {"temperature": 0.5})
        lm.kwargs["api_key"] = "another"
        return [first, second, await call(lm, "Hello?", None, {})]

    with LMServer("Paris") as server:
        lm = client(server, engine="lm15")
        assert [reply.outputs for reply in asyncio.run(three(lm))] == [["Paris"]] * 3
        dspys(lm)
    first, second, third, theirs = server.requests
    assert [one.headers["authorization"] for one in server.requests] == [
        "Bearer k",
        "Bearer k",
        *["Bearer another"] * 2,
    ]
    assert first.body == third.body == theirs.body
    assert second.body == {**first.body, "temperature": 0.5}


def test_a_request_that_dspy_does_not_take_is_refused_in_its_words_on_the_remembered_way_too() -> None:
    bad = [{"role": "user", "content": [{"type": "hologram"}]}]

    async def twice(lm: dspy.LM) -> None:
        await call(lm, "Hello?", None, {})
        await call(lm, None, bad, {})

    with LMServer("Paris") as server:
        with pytest.raises(dspy.LMError) as ours:
            asyncio.run(twice(client(server, engine="lm15")))
        with pytest.raises(dspy.LMError) as theirs:
            asyncio.run(client(server, engine="lm15").acall(messages=bad))
    assert (type(ours.value), str(ours.value)) == (type(theirs.value), str(theirs.value))
    assert server.calls == 1


def test_an_engine_of_the_users_own_keeps_its_transport() -> None:
    with LMServer("Paris") as server:
        engine = AsyncLM15Engine(
            RouterConfig(api_keys={"openai-chat": "k"}, base_urls={"openai-chat": server.base_url})
        )
        lm = dspy.LM("openai/gpt-4o", engine=LM15Engine(), async_engine=engine, cache=False)
        assert asked(lm).outputs == ["Paris"]
    assert not isinstance(engine.router._transport, Transport)
