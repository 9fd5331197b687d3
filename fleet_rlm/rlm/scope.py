"""What one run's recursion shares: log, ledger, models and the slots that bound how much runs at once.

There is one scope per run; the agent, every RLM and every child of it find it in the context. Slots for children are
counted per level of recursion, so that a parent waiting for its children never holds what they need.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import dspy

from fleet_rlm.core.budget import Budget, Ledger
from fleet_rlm.core.events import BudgetChange
from fleet_rlm.core.log import RunLog
from fleet_rlm.lm.call import call
from fleet_rlm.lm.metered import Ask, MeteredLM
from fleet_rlm.lm.windows import CHARS_PER_TOKEN, window

QUERIES = 16
"""Sub-queries in flight at once in the whole run, unless it says otherwise (design 3.4)."""

SIBLINGS = 4
"""Children running at once on one level of recursion (design 3.4)."""

_current: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("fleet_rlm_scope", default=None)


@dataclass(kw_only=True)
class Scope:
    """The surroundings of one run.

    Attributes:
        log: the run's event log.
        ledger: the run's budget.
        lm: the root model, metered.
        sub_lm: the model of sub-queries and children, metered.
        queries: slots of the sub-queries in flight.
        cell_timeout: seconds a cell may run; host calls do not count.
    """

    log: RunLog
    ledger: Ledger
    lm: MeteredLM
    sub_lm: MeteredLM
    queries: asyncio.Semaphore
    cell_timeout: float | None = None
    siblings: dict[int, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(SIBLINGS))
    )

    @classmethod
    def create(
        cls,
        log: RunLog,
        budget: Budget,
        lm: dspy.BaseLM,
        sub_lm: dspy.BaseLM,
        *,
        cell_timeout: float | None = None,
        concurrency: int = QUERIES,
        unknown_window: int | None = None,
        ask: Ask = call,
    ) -> Scope:
        """A scope whose models and ledger write to `log`.

        Args:
            concurrency: sub-queries in flight at once.
            unknown_window: tokens to assume for a model whose context window is not known; None assumes nothing.
            ask: how both models are called.
        """
        ledger = Ledger(budget, lambda spent, left: log.emit(BudgetChange(spent=spent, remaining=left)))
        return cls(
            log=log,
            ledger=ledger,
            lm=MeteredLM(lm, log, ledger, window(lm) or unknown_window, ask),
            sub_lm=MeteredLM(sub_lm, log, ledger, window(sub_lm) or unknown_window, ask),
            cell_timeout=cell_timeout,
            queries=asyncio.Semaphore(concurrency),
        )

    @property
    def query_chars(self) -> int | None:
        """Characters that safely fit one sub-query, from the sub-model's window; None where that is not known."""
        tokens = self.sub_lm.window
        return None if tokens is None else int(tokens * CHARS_PER_TOKEN * 0.8)

    @contextlib.contextmanager
    def active(self) -> Iterator[Scope]:
        """Make this the scope of the calling context, and its models dspy's."""
        token = _current.set(self)
        adapter = dspy.settings.adapter or dspy.ChatAdapter(use_json_adapter_fallback=False)
        try:
            with dspy.context(lm=self.lm, adapter=adapter, send_stream=None):
                yield self
        finally:
            _current.reset(token)


def current_scope() -> Scope | None:
    """The scope of the calling context."""
    return _current.get()
