"""Replies that cannot be read: asked again with the fault named, and given up after five in a row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import dspy

from fleet_rlm.core.errors import ModelError
from fleet_rlm.core.events import Note
from fleet_rlm.core.log import RunLog

LIMIT = 5
"""Replies in a row; the same for the agent and for an RLM."""


Ask = Callable[[str | None], Awaitable[dspy.Prediction]]


class Unreadable:
    """Counts unreadable replies of one loop."""

    def __init__(self, log: RunLog, model: str) -> None:
        self._log = log
        self._model = model
        self._in_a_row = 0

    def was_read(self) -> None:
        """A reply was understood; start counting anew."""
        self._in_a_row = 0

    async def asked(self, ask: Ask) -> dspy.Prediction:
        """The prediction of `ask`, which is given what was wrong with the reply before, None at first.

        Raises:
            ModelError: the fifth reply in a row cannot be read either.
        """
        fault: str | None = None
        while True:
            try:
                prediction = await ask(fault)
            except dspy.AdapterParseError as error:
                fault = self.fault(error)
            else:
                self.was_read()
                return prediction

    def fault(self, error: Exception) -> str:
        """What to tell the model about its reply.

        Raises:
            ModelError: it was the fifth in a row.
        """
        self._in_a_row += 1
        fault = " ".join(str(error).split())[:500]
        if self._in_a_row >= LIMIT:
            raise ModelError(
                f"{self._model} gave {LIMIT} replies in a row that cannot be read ({fault[:160]}); "
                "use a model that follows the reply format"
            ) from error
        self._log.emit(Note(level="warning", text=f"unreadable reply, asked again: {fault}"))
        return f"your last reply could not be read: {fault}"
