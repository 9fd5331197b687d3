"""Sub-queries: as wide as asked, once per prompt, refused where they cannot fit, failures told together."""

from __future__ import annotations

import pytest

import fleet_rlm as fleet
from tests.twins.replies import Gate, Reply
from tests.twins.running import BIG, model
from tests.twins.scripts import rlm_action


def test_sub_queries_run_as_wide_as_asked_and_no_wider() -> None:
    gate = Gate()
    code = "SUBMIT(answer=len(llm_query_batched([f'q{i}' for i in range(9)])))"
    with model(rlm_action=rlm_action("ask", code), bare=Reply("ok", gate=gate)) as (server, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only", concurrency=3)
        server.wait_for(1 + 3)
        with pytest.raises(TimeoutError):
            server.wait_for(1 + 4, timeout=0.5)
        gate.open()
        assert run.wait(30).answer == "9"


def test_identical_prompts_of_a_batch_are_asked_once_and_failures_are_raised_together() -> None:
    code = (
        "try:\n    llm_query_batched(['a', 'a', '', 7])\nexcept Exception as error:\n    print(error)\n"
        "print(llm_query_batched(['a', '', 'a'], return_exceptions=True))"
    )
    with model(rlm_action=[rlm_action("ask", code), rlm_action("submit", "SUBMIT(answer=1)")], bare="yes") as (
        server,
        lm,
    ):
        fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert server.calls == 2 + 2
    told = server.requests[-1].text
    assert "2 of 3 sub-queries failed" in told
    assert "QueryError" in told
    assert "['yes', " in told


def test_a_prompt_too_long_for_the_sub_model_is_refused_with_the_size_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEET_WINDOW", "1000")
    code = "try:\n    llm_query(context)\nexcept Exception as error:\n    SUBMIT(answer=str(error))"
    with model(rlm_action=rlm_action("ask", code)) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert "takes about 2,560" in run.answer
    assert "llm_query_batched" in run.answer
    assert server.calls == 1
