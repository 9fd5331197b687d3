"""The sentences by which the stand-in identifies itself: every answer carries one of them, exactly once."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME = "fleet/offline"
LABEL = f"(answered by {NAME}, a rule-based stand-in, not a language model)"
ABILITIES = (
    "I can search, count, quote, group, filter, rank, compare and aggregate: how many lines or files mention a term, "
    "which files say something and what version, date or number they give, the value stated for a name, "
    "the top, total, average, distinct or first and last of table columns, with conditions."
)
_REFERS_BACK = re.compile(
    r"\b(those|these|them|they|their|it|its|that one|the same|previous\w*|earlier|before that|what about|again)\b",
    re.IGNORECASE,
)
CANNOT = "I am not a model and cannot answer this kind of question."


def labelled(text: str) -> str:
    """The text with the label at its end, unless it already carries it; lone surrogates are escaped, for logs."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if LABEL in text else f"{text.rstrip()}\n\n{LABEL}"


def by_itself(text: str, question: str) -> str:
    """The answer to one question of a conversation, saying so if its words refer to the turns before it."""
    back = _REFERS_BACK.search(question)
    if back is None:
        return text
    note = f"I read each question by itself; what `{back[0]}` refers to in earlier turns was not used."
    return labelled(f"{text.replace(LABEL, '').rstrip()}\n\n{note}")


def refusal(reason: str = "") -> str:
    """The sentence for questions outside the families, with an optional reason, and what would work."""
    return labelled(" ".join(part for part in (CANNOT, reason, ABILITIES) if part))


def unplaced(words: Iterable[str]) -> str:
    """The reason for a refusal over words that would have been ignored; "" when there are none."""
    named = ", ".join(f"`{word}`" for word in dict.fromkeys(words))
    return f"I could not place {named}." if named else ""
