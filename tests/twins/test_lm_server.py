"""The LM server: what dspy's real client reads from it, and what it remembers of its clients."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import dspy
import pytest

from tests.twins import replies
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import Prompt, answer, by_role, offline_script, react_step, rlm_action


def lm(server: LMServer, **client: Any) -> dspy.LM:
    settings = {"api_base": server.base_url, "api_key": "k", "cache": False, "num_retries": 0, **client}
    return dspy.LM("openai/test", **settings)


def paris(request: dict[str, Any], call_index: int) -> str:
    return "Paris, of course"


def test_an_answer_and_its_usage_arrive() -> None:
    with LMServer(Reply("Paris", usage=replies.usage(100, 5, cached=60))) as server:
        model = lm(server)
        assert asyncio.run(model.acall("Capital of France?")) == ["Paris"]
        used = model.history[-1]["usage"]
        assert (used["prompt_tokens"], used["completion_tokens"]) == (100, 5)
        assert used["prompt_tokens_details"]["cached_tokens"] == 60
        (request,) = server.requests
        assert request.text == "Capital of France?"
        assert (request.outcome, request.status) == ("answered", 200)


def test_usage_can_be_left_out() -> None:
    with LMServer(Reply("Paris", usage=None)) as server:
        model = lm(server)
        asyncio.run(model.acall("?"))
        assert not model.history[-1]["usage"]


def test_an_answer_can_be_streamed() -> None:
    async def streamed() -> tuple[list[str], str]:
        program = dspy.streamify(
            dspy.Predict("question -> answer"),
            stream_listeners=[dspy.streaming.StreamListener("answer")],
        )
        pieces, final = [], ""
        async for item in program(question="Which river?"):
            if isinstance(item, dspy.streaming.StreamResponse):
                pieces.append(item.chunk)
            elif isinstance(item, dspy.Prediction):
                final = item.answer
        return pieces, final

    river = "the Seine, the Loire and the Rhone, and many smaller ones besides"
    with LMServer(by_role(direct=answer(answer=river))) as server, dspy.context(lm=lm(server)):
        pieces, final = asyncio.run(streamed())
        assert final == river
        assert "".join(pieces).strip() == river
        assert len(pieces) > 3
        assert server.requests[0].body["stream"] is True


def test_many_calls_are_answered_at_once_and_counted() -> None:
    gate = Gate()
    with LMServer(lambda _, index: Reply(str(index), gate=gate)) as server:

        async def ask() -> list[Any]:
            model = lm(server)
            calls = [asyncio.ensure_future(model.acall(f"question {n}")) for n in range(20)]
            await asyncio.to_thread(server.wait_for, 20)
            gate.open()
            return await asyncio.gather(*calls)

        assert {text for (text,) in asyncio.run(ask())} == {str(n) for n in range(20)}
        assert server.calls == 20


def test_calls_after_each_other_share_a_connection_without_losing_a_byte() -> None:
    with LMServer(paris) as server:

        async def ask() -> list[Any]:
            model = lm(server)
            return [await model.acall("again?") for _ in range(50)]

        assert asyncio.run(ask()) == [["Paris, of course"]] * 50


def test_a_cancelled_call_is_seen_as_cancelled() -> None:
    with LMServer(Reply("never", gate=Gate())) as server:

        async def ask() -> None:
            call = asyncio.ensure_future(lm(server).acall("?"))
            await asyncio.to_thread(server.wait_for, 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        asyncio.run(ask())
        server.wait_idle()
        (request,) = server.requests
        assert request.outcome == "cancelled"
        assert request.started <= request.finished <= time.monotonic()


def test_waiting_in_vain_says_what_was_seen() -> None:
    with LMServer(paris) as server, pytest.raises(TimeoutError, match="in vain for 1 requests"):
        server.wait_for(1, timeout=0.01)


def test_a_client_asks_again_after_a_rate_limit() -> None:
    with LMServer(lambda _, index: replies.rate_limited(0) if index < 2 else "at last") as server:
        assert asyncio.run(lm(server, num_retries=3).acall("?")) == ["at last"]
        assert [request.status for request in server.requests] == [429, 429, 200]


def test_a_connection_can_be_cut_in_the_body() -> None:
    with LMServer(Reply("a long answer", cut=10)) as server:
        with pytest.raises(dspy.LMTransportError):
            asyncio.run(lm(server).acall("?"))
        server.wait_idle()
        assert server.requests[0].outcome == "cut"


def test_a_reply_can_be_slow() -> None:
    with LMServer(Reply("slow", delay=0.2)) as server:
        began = time.monotonic()
        asyncio.run(lm(server).acall("?"))
        assert time.monotonic() - began >= 0.2


def test_a_prompt_can_be_too_long() -> None:
    with LMServer(replies.too_long(8192, 9000)) as server, pytest.raises(dspy.ContextWindowExceededError):
        asyncio.run(lm(server).acall("?"))


def test_keys_and_models_are_checked_when_they_are_given() -> None:
    with LMServer(paris, key="right", models=["test"]) as server:
        with pytest.raises(dspy.LMAuthError):
            asyncio.run(lm(server, api_key="wrong").acall("?"))
        with pytest.raises(dspy.LMUnsupportedModelError):
            asyncio.run(lm(server, api_key="right").copy(model="openai/other").acall("?"))
        assert asyncio.run(lm(server, api_key="right").acall("?")) == ["Paris, of course"]
        with urllib.request.urlopen(f"{server.base_url}/models") as listed:
            assert b'"id": "test"' in listed.read()


def test_a_script_that_raises_fails_the_test() -> None:
    def leave_a_script_without_replies() -> None:
        with LMServer(by_role(bare=["only one"])) as server:
            asyncio.run(lm(server).acall("first"))
            with pytest.raises(dspy.LMError):
                asyncio.run(lm(server).acall("second"))

    with pytest.raises(AssertionError, match="call 2 of role bare, but the script has 1 replies"):
        leave_a_script_without_replies()


def test_react_and_rlm_prompts_are_told_apart() -> None:
    seen: list[str] = []

    def noted(*texts: str) -> Callable[[Prompt], str]:
        left = iter(texts)

        def give(prompt: Prompt) -> str:
            seen.append(prompt.role)
            return next(left)

        return give

    script = by_role(
        react_step=noted(react_step("look it up", "measure", text="abc"), react_step("done", "finish")),
        react_extract=noted(answer(reasoning="measured", answer="3")),
        rlm_action=noted(rlm_action("ask", "print(llm_query('how many?'))")),
        rlm_extract=noted(answer(answer="4")),
        direct=noted(answer(answer="5")),
        bare=noted("plain text"),
    )

    def measure(text: str) -> int:
        return len(text)

    with LMServer(script) as server, dspy.context(lm=lm(server)):
        assert dspy.ReAct("question -> answer", tools=[measure])(question="how long?").answer == "3"
        rlm = dspy.RLM("context, query -> answer", max_iters=1, interpreter_factory=dspy.LocalInterpreter)
        assert rlm(context="some text", query="how many?").answer == "4"
        assert dspy.Predict("question -> answer")(question="?").answer == "5"
    assert seen == ["react_step", "react_step", "react_extract", "rlm_action", "bare", "rlm_extract", "direct"]


def test_a_prompt_gives_its_inputs_and_outputs() -> None:
    with LMServer(by_role(direct=answer(answer="ok", score=3))) as server, dspy.context(lm=lm(server)):
        got = dspy.Predict("question, context -> answer, score: int")(question="two\nlines?", context="some")
        assert (got.answer, got.score) == ("ok", 3)
        prompt = Prompt(server.requests[0].body)
    assert prompt.inputs == {"question": "two\nlines?", "context": "some"}
    assert prompt.outputs == ["answer", "score"]
    assert "question" in prompt.system


def test_replies_come_as_json_where_json_is_asked_for() -> None:
    with LMServer(by_role(direct=["rubbish", answer(answer="mended")])) as server, dspy.context(lm=lm(server)):
        assert dspy.Predict("question -> answer")(question="?").answer == "mended"
        assert [Prompt(request.body).wants_json for request in server.requests] == [False, True]


def test_the_stand_ins_rules_answer_over_http() -> None:
    with LMServer(offline_script()) as server:
        (over_http,) = asyncio.run(lm(server).acall("What is the meaning of life?"))
    from fleet_rlm.lm.offline import offline_lm

    assert over_http == asyncio.run(offline_lm().acall("What is the meaning of life?"))[0]


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (["tests.twins.scripts:echo"], "Are you there?"),
        (["tests.twins.scripts:offline_script", "--make"], "not a model"),
    ],
)
def test_other_processes_can_run_it(named: list[str], told: str) -> None:
    command = [sys.executable, "-m", "tests.twins.lm_server", "--script", *named]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        model = dspy.LM("openai/test", api_base=address, api_key="k", cache=False, num_retries=0)
        assert told in asyncio.run(model.acall("Are you there?"))[0]
        process.stdin.close()
        assert process.wait(10) == 0
