"""Citations: quotes that are only passed on if they stand in the document, with the line where."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import dspy

from fleet_rlm.agent.documents import Document
from fleet_rlm.core.errors import FleetError

ASKED = 2
SHORTEST = 8
"""Characters of a quote; anything shorter stands everywhere."""

ABSENT = "not in the document"
"""The one answer that needs no citation; the signature tells the model so."""


class Ungrounded(FleetError):
    """None of the quotes an answer rests on stands in the document, or it rests on none."""


async def cited(
    document: Document, answer: Callable[[str | None], Awaitable[dspy.Prediction]]
) -> tuple[dspy.Prediction, list[dict[str, Any]], list[str]]:
    """An answer, those of its `citations` that stand in the document as `{"quote", "line"}`, and those that do not.

    Args:
        answer: gives the prediction; is asked again, and told what was wrong, if a quote does not stand there, or if
            an answer that is not ABSENT has none.

    Raises:
        Ungrounded: none of its citations can be found, or it has none.
    """
    text = document.text
    fault: str | None = None
    for _ in range(ASKED):
        prediction = await answer(fault)
        found = [(quote, line_of(quote, text)) for quote in map(str, prediction.citations)]
        missing = [quote for quote, line in found if line is None]
        needed = not found and ABSENT not in str(prediction.answer).lower()
        if not missing and not needed:
            break
        fault = (
            f"these citations do not stand in the document word for word: {missing}; copy them exactly"
            if missing
            else f'the answer has no citation; copy the words it rests on, or answer "{ABSENT}"'
        )
    kept = [{"quote": quote, "line": line} for quote, line in found if line is not None]
    if not kept and (missing or needed):
        raise Ungrounded(
            f"no citation of the answer stands in {document.alias!r}, so it is not passed on; ask something the "
            "document tells, or search it with execute_code"
        )
    return prediction, kept, missing


def line_of(quote: str, text: str) -> int | None:
    """The line where a quote begins in a text, line breaks and spaces aside; None if it does not stand there."""
    words = quote.strip().strip('"“”').split()
    if len("".join(words)) < SHORTEST:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), text)
    return None if found is None else text.count("\n", 0, found.start()) + 1
