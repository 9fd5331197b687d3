"""Citations: found word for word whatever the line breaks, and never passed on where they are not."""

from __future__ import annotations

import dspy
import pytest

from fleet_rlm.agent.documents import Documents
from fleet_rlm.agent.tools.citations import ABSENT, Ungrounded, cited, line_of
from fleet_rlm.agent.tools.signatures import GroundedAnswer
from fleet_rlm.core.loop import run_sync

TEXT = "The heron\nstands   in the (shallow) water.\nIt waits.\n"


@pytest.mark.parametrize(
    ("quote", "line"),
    [
        ("stands in the (shallow) water", 2),
        ("heron stands in the", 1),
        ('"It waits."', 3),
        ("It  waits.", 3),
        ("The stork stands", None),
        ("the heron", None),
        ("in the", None),
        ("", None),
        ("(.*)+ (.*)+", None),
    ],
)
def test_a_quote_is_found_by_its_words(quote: str, line: int | None) -> None:
    assert line_of(quote, TEXT) == line


def outcome(*rounds: list[str], says: str = "x") -> tuple[list[object], list[str | None]]:
    """The citations passed on and those left out, and the faults told, when the model answers and cites so."""
    faults: list[str | None] = []
    documents = Documents()
    document = documents.add("notes", "a test", "text", [TEXT])

    async def answer(fault: str | None) -> dspy.Prediction:
        faults.append(fault)
        return dspy.Prediction(answer=says, citations=rounds[len(faults) - 1])

    _, kept, missing = run_sync(cited(document, answer))
    return [*(tuple(one.values()) for one in kept), *missing], faults


def test_citations_that_stand_there_are_passed_on_with_their_lines() -> None:
    assert outcome(["heron stands in", "It waits."]) == ([("heron stands in", 1), ("It waits.", 3)], [None])


def test_a_wrong_citation_is_asked_again_and_the_model_told_which() -> None:
    kept, faults = outcome(["The stork stands"], ["heron stands in"])
    assert kept == [("heron stands in", 1)]
    assert "The stork stands" in str(faults[1])


def test_what_stays_wrong_is_left_out_and_told_and_if_nothing_stands_there_it_is_an_error() -> None:
    wrong = ["It waits.", "The stork stands"]
    assert outcome(wrong, wrong)[0] == [("It waits.", 3), "The stork stands"]
    with pytest.raises(Ungrounded, match="no citation of the answer stands in 'notes'"):
        outcome(wrong[1:], wrong[1:])


def test_only_an_answer_that_there_is_none_needs_no_citation() -> None:
    assert outcome([], says="It is not in the document.") == ([], [None])
    kept, faults = outcome([], ["It waits."])
    assert kept == [("It waits.", 3)]
    assert "the answer has no citation" in str(faults[1])
    with pytest.raises(Ungrounded):
        outcome([], [])
    assert ABSENT in GroundedAnswer.instructions
