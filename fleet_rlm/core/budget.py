"""One ledger per run, shared by the whole tree: what may be spent, what is, and who must stop.

Reserve before, settle after: `admit` reserves a model call or says why not, `settle` books what it really used. Every
loop that must end in an answer (the agent, each RLM) holds one call back with `hold`, so that exhaustion is news the
loop can still answer to ("finish with what you have"), never a hang. Time ends in two steps: after `SOFT` of it only
finishing calls are admitted, and at the end the run itself is cut off by whoever runs it.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from fleet_rlm.core.errors import BudgetExhausted, QuotaExhausted, UserError
from fleet_rlm.core.events import Limits, Usage
from fleet_rlm.core.log import current_span

FINISH = "finish with what you have"

CAPPED = f"budget: the calls allowed for this part of the run are used; {FINISH}"

SOFT = 0.8
"""Share of the time after which the model is asked to finish; the rest is for the finishing calls."""

N = TypeVar("N", int, float)

Purpose = Literal["step", "query", "finish"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a whole run may spend; None is unlimited.

    Attributes:
        calls: model calls, generations and sub-queries alike.
        tokens: prompt and completion tokens together, as the provider reports them after each call; the call that
            crosses the limit is the last one.
        usd: estimated US dollars, likewise; needs a model whose price is known.
        seconds: wall time.
        depth: levels of recursion below the agent, as in arXiv 2512.24601: 0 allows no sub-calls, 1 sub-queries to a
            plain model, 2 sub-RLMs whose code may again query models.
        children: RLMs in the whole tree.
    """

    calls: int | None = 100
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    depth: int = 2
    children: int | None = 64

    def __post_init__(self) -> None:
        for name, least in (("calls", 1), ("tokens", 1), ("depth", 0), ("children", 0)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UserError(f"budget: {name} must be a whole number of at least {least}, not {value!r}")
        for name in ("usd", "seconds"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
                raise UserError(f"budget: {name} must be a number above 0, not {value!r}")

    def limits(self) -> Limits:
        """The same figures as they are written to the log."""
        return Limits(**{name: getattr(self, name) for name in Limits.__struct_fields__})


class Ledger:
    """The live account of one run. Thread-safe.

    Args:
        budget: the limits.
        on_change: called with (spent, remaining) after each booking.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        budget: Budget,
        on_change: Callable[[Limits, Limits], object] = lambda spent, remaining: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self._on_change = on_change
        self._clock = clock
        self._started = clock()
        self._waiting = 0  # for so many decisions of a person
        self._paused_at = 0.0
        self._lock = threading.RLock()
        self._calls = 0
        self._reserved = 0
        self._held = 0
        self._tokens = 0  # what is known to be spent; one failed call makes the sums of `_usage` unknown
        self._usd = 0.0
        self._usage = Usage(llm_calls=0, tokens_in=0, tokens_out=0, tokens_cached=0, cost_usd=0.0)
        self._children = 0
        self._caps: dict[str, int] = {}  # span id to the calls that may still be made below it
        self._closed: str | None = None

    def admit(self, purpose: Purpose, calls: int = 1) -> None:
        """Reserve model calls, or refuse them all.

        A "finish" call may use what its own loop holds; "step" and "query" calls may use nothing that is held.

        Raises:
            BudgetExhausted: with a message that tells a model what to do instead.
        """
        with self._lock:
            own = self._own() if purpose == "finish" else None
            refusal = self._refusal(calls, finishing=purpose == "finish", own=own.calls if own else 0)
            capped = [] if purpose == "finish" else [cap for cap in _path() if cap in self._caps]
            if refusal is None and any(self._caps[cap] < calls for cap in capped):
                refusal = BudgetExhausted("cap", CAPPED)
            if refusal is not None:
                raise refusal
            for cap in capped:
                self._caps[cap] -= calls
            self._reserved += calls
            if own is not None:
                taken = min(calls, own.calls)
                own.calls -= taken
                self._held -= taken

    def settle(self, usage: Usage | None) -> None:
        """Book one admitted call; None when it was never made, figures missing where it failed.

        Raises:
            UserError: it was answered, but a limit in dollars cannot be kept as its price is not known.
        """
        with self._lock:
            self._reserved -= 1
            if usage is None:
                return
            self._count(usage)
            if self.budget.usd is not None and usage.cost_usd is None and usage.tokens_in is not None:
                raise UserError(
                    "the price of this model is not known, so a limit in dollars cannot be kept; "
                    "limit model calls instead (--budget N, or budget=N)"
                )
        self._on_change(self.spent(), self.remaining())

    def book(self, usage: Usage, children: int) -> None:
        """Count what a run had spent when it was interrupted: all that its log holds, before it goes on."""
        with self._lock:
            self._count(usage)
            self._children += children
        self._on_change(self.spent(), self.remaining())

    def _count(self, usage: Usage) -> None:
        self._calls += usage.llm_calls
        self._usage += usage
        self._tokens += (usage.tokens_in or 0) + (usage.tokens_out or 0)
        self._usd += usage.cost_usd or 0.0

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep one call back for the finish of the loop inside. A loop that goes on held its own when it began: its
        record may hold an answer that needs no call, and where it needs one, that is admitted or not.

        Raises:
            BudgetExhausted: there is not even one call left.
        """
        here = current_span()
        with self._lock:
            refusal = None if here is not None and here.is_recorded else self._refusal(1, finishing=False)
            if refusal is not None:
                raise refusal
            self._held += 1
        own = _Hold(self)
        token = _hold.set(own)
        try:
            yield
        finally:
            _hold.reset(token)
            with self._lock:
                self._held -= own.calls

    def admit_child(self, depth: int) -> None:
        """Count one sub-RLM at this level of recursion (1 is directly below the root).

        Raises:
            BudgetExhausted: the depth or the number of children is used up.
        """
        with self._lock:
            if depth > max(self.budget.depth, 1):
                raise BudgetExhausted(
                    "depth", f"recursion depth {self.budget.depth} is reached; use llm_query here instead of sub_rlm"
                )
            if self.budget.children is not None and self._children >= self.budget.children:
                raise BudgetExhausted(
                    "children", f"all {self.budget.children} sub-RLMs of this run are used; use llm_query or plain code"
                )
            self._children += 1
        self._on_change(self.spent(), self.remaining())

    def change(self, **limits: float | None) -> None:
        """Raise, lower or lift limits of the run while it goes on; what is spent stays spent.

        Raises:
            UserError: a limit is unknown or not a number it can have.
        """
        unknown = sorted(set(limits) - set(Limits.__struct_fields__))
        if unknown:
            raise UserError(f"there is no limit {unknown[0]!r}; there are {', '.join(Limits.__struct_fields__)}")
        with self._lock:
            self.budget = replace(self.budget, **limits)  # type: ignore[arg-type]
        self._on_change(self.spent(), self.remaining())

    def cap(self, span: str, calls: int) -> None:
        """Allow `calls` more model calls below one span; the finishing call of a loop there is not counted.

        Raises:
            UserError: `calls` is not a whole number of at least 0.
        """
        if isinstance(calls, bool) or not isinstance(calls, int) or calls < 0:
            raise UserError(f"a cap is a whole number of model calls of at least 0, not {calls!r}")
        with self._lock:
            self._caps[span] = calls

    def close(self, why: str) -> None:
        """Admit no model call any more, not even a finishing one; whoever asks for one is told why."""
        with self._lock:
            self._closed = why

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, a person is waited for and the run's time stands still; several may be waited for at once."""
        with self._lock:
            self._paused_at = self._paused_at if self._waiting else self._clock()
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._started += 0.0 if self._waiting else self._clock() - self._paused_at

    @property
    def is_paused(self) -> bool:
        """Whether a person is waited for."""
        return self._waiting > 0

    @property
    def seconds_left(self) -> float | None:
        """Wall time until the run is cut off."""
        return None if self.budget.seconds is None else self.budget.seconds - self._elapsed()

    def _elapsed(self) -> float:
        with self._lock:
            return (self._paused_at if self._waiting else self._clock()) - self._started

    def nearly_spent(self) -> str | None:
        """A sentence for the model when it should finish now, else None."""
        with self._lock:
            refusal = self._refusal(1, finishing=False)
            capped = any(self._caps.get(span) == 0 for span in _path())
        if refusal is None and capped:
            return CAPPED
        return None if refusal is None else str(refusal)

    def spent(self) -> Limits:
        """What is booked so far."""
        usage = self._usage
        known = usage.tokens_in is not None and usage.tokens_out is not None
        return Limits(
            calls=self._calls,
            tokens=(usage.tokens_in or 0) + (usage.tokens_out or 0) if known else None,
            usd=usage.cost_usd if usage.llm_calls else None,
            seconds=round(self._elapsed(), 3),
            children=self._children,
        )

    def remaining(self) -> Limits:
        """What is left of each limit; None where there is none or it cannot be known."""
        spent, budget = self.spent(), self.budget
        return Limits(
            calls=_left(budget.calls, self._calls + self._reserved),
            tokens=_left(budget.tokens, spent.tokens),
            usd=_left(budget.usd, spent.usd),
            seconds=_left(budget.seconds, spent.seconds),
            depth=budget.depth,
            children=_left(budget.children, spent.children),
        )

    def _own(self) -> _Hold | None:
        """What the loop of the calling context holds."""
        hold = _hold.get()
        return hold if hold is not None and hold.ledger is self else None

    def _refusal(self, calls: int, finishing: bool, own: int = 0) -> BudgetExhausted | None:
        budget = self.budget
        if self._closed is not None:
            return QuotaExhausted(self._closed)
        if budget.calls is not None:
            free = budget.calls - self._calls - self._reserved - (self._held - own)
            if calls > free:
                what = f"{max(free, 0)} of {budget.calls} model calls are left"
                asked = f", {calls} were asked for" if calls > 1 else ""
                return BudgetExhausted("calls", f"budget: {what}{asked}; {FINISH}")
        if finishing:
            return None
        if budget.tokens is not None and self._tokens >= budget.tokens:
            return BudgetExhausted("tokens", f"budget: all {budget.tokens:,} tokens are used; {FINISH}")
        if budget.usd is not None and self._usd >= budget.usd:
            return BudgetExhausted("usd", f"budget: all ${budget.usd:g} are spent; {FINISH}")
        seconds = self._elapsed()
        if budget.seconds is not None and seconds >= SOFT * budget.seconds:
            left = max(0.0, budget.seconds - seconds)
            return BudgetExhausted("seconds", f"budget: {left:.0f} s of time are left; {FINISH}")
        return None


@dataclass
class _Hold:
    """The calls that one loop keeps back for its finish; loops side by side each have their own."""

    ledger: Ledger
    calls: int = 1


_hold: contextvars.ContextVar[_Hold | None] = contextvars.ContextVar("fleet_rlm_hold", default=None)


def _path() -> Iterator[str]:
    """Ids of the spans above the calling context, innermost first."""
    span = current_span()
    while span is not None:
        yield span.id
        span = span.parent


def _left(limit: N | None, spent: N | None) -> N | None:
    return None if limit is None or spent is None else max(limit - spent, limit - limit)
