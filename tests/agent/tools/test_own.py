"""Functions of the user: the agent calls them, they ask, and a run that goes on never calls one twice."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import dspy
import pytest

import fleet_rlm as fleet
from tests.agent.people import decided
from tests.twins.replies import refused_key
from tests.twins.running import model
from tests.twins.scripts import answer, react_step

DONE = react_step("I know it", "finish")
ANSWER = answer(reasoning="-", answer="x")
PRICE = react_step("look", "price", item="tea", count=2)


def price(item: str, count: int = 1) -> str:
    """What so many of an item cost."""
    CALLS.append((item, count, threading.current_thread()))
    return f"{count} {item}: {count * 3} EUR"


async def rate(currency: str) -> float:
    """The rate of a currency."""
    await asyncio.sleep(0)
    return 1.25


CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def test_the_agent_is_told_of_it_and_calls_it_on_a_thread_of_its_own() -> None:
    with model(react_step=[PRICE, DONE], react_extract=ANSWER) as (server, lm):
        run = fleet.run("How much?", lm=lm, tools=[price])
    assert "What so many of an item cost." in server.requests[0].text
    assert "2 tea: 6 EUR" in server.requests[1].text
    ((item, count, thread),) = CALLS
    assert (item, count, run.status) == ("tea", 2, "ok")
    assert thread.name.startswith("asyncio_")
    (span,) = [one for one in run.tree.spans.values() if one.name == "price"]
    assert (span.type, span.status, span.output) == ("tool", "ok", "2 tea: 6 EUR")


def test_an_async_function_and_a_dspy_tool_serve_as_well() -> None:
    named = dspy.Tool(price, name="cost", desc="Costs.")
    steps = [react_step("a", "rate", currency="USD"), react_step("b", "cost", item="tea"), DONE]
    with model(react_step=steps, react_extract=ANSWER) as (server, lm), fleet.Session("s") as session:
        session.ask("How much?", lm=lm, tools=[rate, named])
    assert "1.25" in server.requests[1].text
    assert "1 tea: 3 EUR" in server.requests[2].text


def test_what_it_raises_is_told_to_the_model_and_the_run_goes_on() -> None:
    def broken(item: str) -> str:
        raise ZeroDivisionError("no such price")

    with model(react_step=[react_step("look", "broken", item="tea"), DONE], react_extract=ANSWER) as (server, lm):
        run = fleet.run("How much?", lm=lm, tools=[broken])
    assert "broken failed: ZeroDivisionError: no such price" in server.requests[1].text
    assert run.status == "ok"


@pytest.mark.parametrize("policy", ["edits", "ask"])
def test_it_asks_first_and_is_not_called_after_a_no(policy: Any) -> None:
    with model(react_step=[PRICE, DONE], react_extract=ANSWER) as (_, lm):
        run = fleet.start("How much?", lm=lm, tools=[price], approve=policy)
        assert decided(run, "no") == ['Use price({"item": "tea", "count": 2})?']
        run.wait()
    assert CALLS == []


def interrupted(lm: str, tmp_path: Path) -> fleet.Run:
    """A run whose model failed after the tool was called."""
    with pytest.raises(fleet.ModelError) as failed:
        fleet.run("How much?", lm=lm, tools=[price])
    run: fleet.Run = failed.value.run  # type: ignore[assignment]
    return run


def test_a_run_that_goes_on_has_the_recorded_result_and_its_function(tmp_path: Path) -> None:
    steps = [PRICE, refused_key(), react_step("more", "price", item="milk"), DONE]
    with model(react_step=steps, react_extract=ANSWER) as (server, lm):
        run = interrupted(lm, tmp_path).resume()
        run.wait()
    assert [(item, count) for item, count, _ in CALLS] == [("tea", 2), ("milk", 1)]
    assert "2 tea: 6 EUR" in server.requests[-2].text


def test_another_process_is_told_which_function_is_missing_and_goes_on_with_it(tmp_path: Path) -> None:
    with model(react_step=[PRICE, refused_key(), DONE], react_extract=ANSWER) as (_, lm):
        cut = interrupted(lm, tmp_path)
        with pytest.raises(fleet.UserError, match=r"not in this process: price; .*run\.resume\(tools=\[price\]\)"):
            fleet.resume(cut.id)
        assert fleet.resume(cut.id, tools=[price]).wait().status == "ok"
    assert len(CALLS) == 1


def untyped(item) -> str:  # type: ignore[no-untyped-def]
    return str(item)


def open_ended(*items: str) -> str:
    return ""


def strange(item: threading.Thread) -> str:
    return ""


def finish(item: str) -> str:
    return ""


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([untyped], "the argument item of untyped has no type"),
        ([open_ended], "name each one, with its type"),
        ([strange], "a type of strange cannot be told to a model"),
        ([finish], "finish is a tool that the agent has already"),
        ([dspy.Tool(price, name="execute_code")], "execute_code is a tool that the agent has already"),
        ([price, price], "two of the tools are called price"),
        ([lambda: ""], "is no name a model can call"),
        (["price"], "a tool is a function or a dspy.Tool, not str"),
        (price, r"tools=\[function, ...\]"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_before_anything_is_spent(tools: Any, said: str) -> None:
    with pytest.raises(fleet.UserError, match=said):
        fleet.start("How much?", tools=tools)


@pytest.mark.parametrize("mode", ["rlm_only", "direct"])
def test_a_way_of_working_without_the_agent_refuses_them(mode: Any) -> None:
    with pytest.raises(fleet.UserError, match="only the agent can use tools"):
        fleet.start("How much?", tools=[price], mode=mode)
