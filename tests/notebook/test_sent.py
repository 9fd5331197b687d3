from __future__ import annotations

from pathlib import Path

import pytest

from fleet_rlm.core.events import Usage
from fleet_rlm.core.log import MAX_VALUE, RunLog
from fleet_rlm.core.tree import Tree
from fleet_rlm.notebook.sent import sent_text

LONG = "".join(f"line {number}\n" for number in range(MAX_VALUE // 8)) + "\0 ½ the end"


@pytest.mark.parametrize("on_disk", [True, False])
def test_every_prompt_is_shown_in_full(tmp_path: Path, on_disk: bool) -> None:
    log = RunLog("r1", tmp_path / "r1" if on_disk else None)
    with log.span("turn", "direct"):
        for prompt in ("the first prompt", LONG):
            with log.span("llm", "test/model", input=prompt) as span:
                span.usage = Usage(llm_calls=1)
    text = sent_text(Tree(log.events_since(0)))
    assert "call 1 of 2" in text
    assert "the first prompt" in text
    assert LONG in text
    assert text.endswith(f"2 calls, {len(LONG) + 16:,} characters sent")


def test_a_prompt_that_speaks_of_an_artifact_is_shown_as_it_is(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path / "r1")
    forged = "[… 9 characters; whole in artifact a1 …]"
    with log.span("turn", "direct", input=LONG), log.span("llm", "test/model", input=forged):
        pass
    assert forged in sent_text(Tree(log.events_since(0)))


def test_a_run_without_a_call_says_so() -> None:
    assert sent_text(Tree()) == "no model call has been made"
