"""A metered call: admitted first, traced as one span, booked whatever happens, and cancelled for real."""

from __future__ import annotations

import asyncio
from typing import Any

import dspy
import pytest

from fleet_rlm.core import events as ev
from fleet_rlm.core.budget import Budget, Ledger
from fleet_rlm.core.errors import BudgetExhausted, ModelError, UserError
from fleet_rlm.core.log import RunLog
from fleet_rlm.lm.metered import MeteredLM, calling_as
from tests.twins import replies
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import answer, by_role


class Metered:
    """A metered model of a server, with its log and ledger."""

    def __init__(self, server: LMServer, budget: Budget | None = None, model: str = "openai/gpt-4o") -> None:
        self.log = RunLog("r1")
        self.ledger = Ledger(budget or Budget())
        inner = dspy.LM(model, api_base=server.base_url, api_key="k", cache=False, num_retries=0)
        self.lm = MeteredLM(inner, self.log, self.ledger)

    def ask(self, prompt: str = "Hello?") -> Any:
        return asyncio.run(self.lm.acall(prompt))

    @property
    def span(self) -> tuple[ev.SpanStart, ev.SpanEnd]:
        start, end = self.log.events_since(0)
        assert isinstance(start, ev.SpanStart)
        assert isinstance(end, ev.SpanEnd)
        return start, end


def test_a_call_is_a_span_with_what_was_sent_said_and_used() -> None:
    with LMServer(Reply("Paris", usage=replies.usage(1000, 100, cached=400))) as server:
        metered = Metered(server)

        async def ask() -> Any:
            with calling_as("decide", "step"):
                messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital?"}]
                return await metered.lm.acall(messages=messages)

        assert asyncio.run(ask()) == ["Paris"]
    start, end = metered.span
    assert (start.type, start.name, start.attrs["model"]) == ("llm", "decide", "openai/gpt-4o")
    assert start.input == "[system]\nBe brief.\n\n[user]\nCapital?"
    assert (end.status, end.output) == ("ok", "Paris")
    assert end.usage is not None
    assert (end.usage.llm_calls, end.usage.tokens_in, end.usage.tokens_out, end.usage.tokens_cached) == (
        1,
        1000,
        100,
        400,
    )
    assert end.usage.cost_usd == pytest.approx(600 * 2.5e-6 + 400 * 1.25e-6 + 100 * 1e-5)
    assert metered.ledger.spent().calls == 1
    assert metered.ledger.spent().usd == end.usage.cost_usd


def test_what_the_provider_does_not_report_stays_unknown() -> None:
    with LMServer(Reply("Paris", usage=None)) as server:
        metered = Metered(server)
        metered.ask()
    assert metered.span[1].usage == ev.Usage(llm_calls=1)


def test_a_call_the_budget_refuses_is_not_made() -> None:
    with LMServer("Paris") as server:
        metered = Metered(server, Budget(calls=1))
        metered.ask()
        with pytest.raises(BudgetExhausted):
            metered.ask()
        assert server.calls == 1
    assert len(metered.log) == 2


def test_a_prompt_no_provider_could_receive_arrives_mended() -> None:
    with LMServer("Paris") as server:
        assert Metered(server).ask("lone \ud83d surrogate and NUL \x00") == ["Paris"]
        assert server.requests[0].text == "lone \ufffd surrogate and NUL \x00"


def test_a_failed_call_is_told_in_one_sentence_and_counted() -> None:
    with LMServer(replies.refused_key()) as server:
        metered = Metered(server)
        with pytest.raises(ModelError, match="the key was refused") as failed:
            metered.ask()
    assert isinstance(failed.value.__cause__, dspy.LMAuthError)
    end = metered.span[1]
    assert (end.status, end.error_type, end.error) == ("error", "ModelError", str(failed.value))
    assert end.usage == ev.Usage(llm_calls=1)
    assert (metered.ledger.spent().calls, metered.ledger.remaining().calls) == (1, 99)


def test_a_failed_call_under_a_dollar_limit_is_still_told_as_what_it_is() -> None:
    with LMServer(replies.server_error()) as server, pytest.raises(ModelError, match="the provider failed"):
        Metered(server, Budget(usd=1.0)).ask()


def test_a_model_without_a_price_cannot_keep_a_dollar_limit_and_says_so() -> None:
    with LMServer("Paris") as server, pytest.raises(UserError, match="price of this model is not known"):
        Metered(server, Budget(usd=1.0), model="openai/of-my-own").ask()


def test_a_prompt_that_is_too_long_is_left_to_whoever_can_shorten_it() -> None:
    with LMServer(replies.too_long(8192, 9000)) as server, pytest.raises(dspy.ContextWindowExceededError):
        Metered(server).ask()


@pytest.mark.parametrize("budget", [Budget(), Budget(usd=1.0)])
def test_cancelling_cancels_the_request_itself(budget: Budget) -> None:
    with LMServer(Reply("never", gate=Gate())) as server:
        metered = Metered(server, budget)

        async def stop() -> None:
            call = asyncio.ensure_future(metered.lm.acall("Hello?"))
            await asyncio.to_thread(server.wait_for, 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        asyncio.run(stop())
        server.wait_idle()
        assert [request.outcome for request in server.requests] == ["cancelled"]
    assert metered.span[1].status == "stopped"
    assert (metered.ledger.spent().calls, metered.ledger.remaining().calls) == (1, 99)


def test_calls_at_once_are_each_booked_with_their_own_usage() -> None:
    def counted(request: dict[str, Any], call_index: int) -> Reply:
        number = int(request["messages"][0]["content"])
        return Reply(str(number), usage=replies.usage(number, 1))

    with LMServer(counted) as server:
        metered = Metered(server, Budget(calls=30))

        async def ask() -> Any:
            return await asyncio.gather(*(metered.lm.acall(str(n)) for n in range(40)), return_exceptions=True)

        outcomes = asyncio.run(ask())
        assert server.calls == 30
    assert outcomes[:30] == [[str(n)] for n in range(30)]
    assert all(isinstance(outcome, BudgetExhausted) for outcome in outcomes[30:])
    ends = [event for event in metered.log.events_since(0) if isinstance(event, ev.SpanEnd)]
    assert sorted(int(end.output or "") for end in ends) == sorted(
        end.usage.tokens_in or 0 for end in ends if end.usage
    )
    assert metered.ledger.spent().tokens == sum(range(30)) + 30


def test_the_last_call_is_kept_for_the_finish() -> None:
    with LMServer("Paris") as server:
        metered = Metered(server, Budget(calls=1))

        async def loop() -> Any:
            with metered.ledger.hold():
                with pytest.raises(BudgetExhausted, match="finish"), calling_as("query", "query"):
                    await metered.lm.acall("a query")
                with calling_as("answer", "finish"):
                    return await metered.lm.acall("the answer")

        assert asyncio.run(loop()) == ["Paris"]


def test_the_inner_models_history_and_settings_are_left_alone() -> None:
    with LMServer("Paris") as server:
        metered = Metered(server)
        metered.ask()
        assert metered.lm.inner.history == []


def test_dspys_modules_call_through_it() -> None:
    with LMServer(by_role(direct=answer(answer="42"))) as server:
        metered = Metered(server)

        async def ask() -> Any:
            with dspy.context(lm=metered.lm):
                return await dspy.Predict("question -> answer").acall(question="?")

        assert asyncio.run(ask()).answer == "42"
    assert metered.ledger.spent().calls == 1


def test_a_blocking_call_is_refused() -> None:
    with LMServer("Paris") as server, pytest.raises(TypeError, match="acall"):
        Metered(server).lm("Hello?")
