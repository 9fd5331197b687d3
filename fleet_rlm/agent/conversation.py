"""What a model is sent of a conversation's earlier turns: the newest that fit into a share of its window.

They travel as `dspy.History`, one question and one answer per turn, for every way of working alike. Where turns are
left out the run says so, and all of them are a variable of the sandbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy

from fleet_rlm.lm.windows import CHARS_PER_TOKEN
from fleet_rlm.rlm.describe import clipped

if TYPE_CHECKING:
    from fleet_rlm.agent.workspace import Exchange

HISTORY_SHARE = 0.25
"""Part of the model's window that earlier turns may fill."""

UNKNOWN_WINDOW_CHARS = 24_000
"""Characters of earlier turns for a model whose window is not known."""

TURN_CHARS = 900
"""Characters the layout of one turn takes in a prompt, about: dspy says in each which fields the reply has."""

HISTORY, MEMORY = "session_history", "session_memory"
"""Names of the variables that hold all turns, and the core memory where there is no prompt of the agent for it."""


@dataclass(frozen=True)
class Earlier:
    """The earlier turns as one model gets them.

    Attributes:
        shown: the newest that fit, oldest first; a single one that is too long is clipped.
        total: how many there are.
    """

    shown: tuple[Exchange, ...]
    total: int

    @classmethod
    def fitting(cls, turns: Sequence[Exchange], window: int | None) -> Earlier:
        """As much as fits a model with a context window of so many tokens."""
        room = UNKNOWN_WINDOW_CHARS if window is None else int(window * CHARS_PER_TOKEN * HISTORY_SHARE)
        shown: list[Exchange] = []
        for turn in reversed(turns):
            left = room - TURN_CHARS - len(turn.question) - len(turn.answer)
            if left < 0:
                break
            room = left
            shown.append(turn)
        if turns and not shown:
            last, half = turns[-1], max((room - TURN_CHARS) // 2, 100)
            shown = [type(last)(clipped(last.question, half), clipped(last.answer, half))]
        return cls(tuple(reversed(shown)), len(turns))

    @property
    def cut(self) -> int:
        """Turns that are not shown."""
        return self.total - len(self.shown)

    def halved(self) -> Earlier:
        """The newer half of what is shown, for a window that turned out smaller."""
        return Earlier(self.shown[(len(self.shown) + 1) // 2 :], self.total)

    def history(self) -> dspy.History:
        """The turns for dspy: the answer is there for each signature that asks, the agent's step among them."""
        return dspy.History(messages=[_message(turn) for turn in self.shown])

    def text(self) -> str:
        """The turns as a person reads them."""
        told = "\n\n".join(f"Question: {turn.question}\nAnswer: {turn.answer}" for turn in self.shown)
        return f"(the first {self.cut:,} of {self.total:,} turns are not shown)\n\n{told}" if self.cut else told

    def described(self) -> dict[str, str]:
        """The variable with all turns, as a prompt tells of it."""
        size = f"{self.total:,} earlier turns of this conversation, each a dict with `question` and `answer`"
        return {"name": HISTORY, "type": "list", "size": f"{size}, oldest first", "preview": self.text()}


def as_value(turns: Sequence[Exchange]) -> list[dict[str, str]]:
    """All turns as the sandbox's variable."""
    return [{"question": turn.question, "answer": turn.answer} for turn in turns]


def _message(turn: Exchange) -> dict[str, Any]:
    return {
        "question": turn.question,
        "answer": turn.answer,
        "reasoning": "I answered this earlier.",
        "next_thought": f"I answered: {turn.answer}",
        "next_tool_name": "finish",
        "next_tool_args": {},
    }
