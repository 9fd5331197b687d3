"""A run: the view over one log, and the handle that stops it.

Everything here is derived from the log, so a `Run` read back from JSONL shows the same tree as the live one did.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import NotAsked, UserError
from fleet_rlm.core.frame import spans_frame
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.tree import Ask, Tree

if TYPE_CHECKING:
    import pandas as pd

    from fleet_rlm.core.diff import Diff


def _nothing_to_limit(span: str | None, **limits: float | None) -> None:
    raise UserError("this run was read from a log; there is nothing running to limit")


def _from_lines(lines: list[bytes]) -> Run:
    return Run(RunLog.read(iter(lines)))


@dataclass(frozen=True)
class Spending:
    """The ledger of a run; None is unlimited or unknown, `seconds` are wall time, `usd` US dollars."""

    spent: ev.Limits
    remaining: ev.Limits


@dataclass(frozen=True)
class Isolation:
    """What stood between generated code and the user's machine.

    Attributes:
        backend: the sandbox's name.
        tier: how strong it is: "confined+ns", "confined", "process".
        guarantees: what was guaranteed, with the mechanism that enforces it.
        missing: what was not protected.
    """

    backend: str
    tier: str
    guarantees: dict[str, str]
    missing: tuple[str, ...]


class Run:
    """The execution of one task.

    Attributes:
        id: the run's name.
        log: its events; subscribe to watch it live.
        tree: the recursion tree as far as the events tell; grows while the run is on.
    """

    def __init__(self, log: RunLog) -> None:
        self.id = log.run
        self.log = log
        self.tree = Tree()
        log.subscribe(self.tree.apply, since=0)
        self._deciding = threading.Lock()
        self._future: concurrent.futures.Future[Any] | None = None
        self._stop: Callable[[], object] = lambda: None
        self._limit: Callable[..., object] = _nothing_to_limit
        self._spend_out: Callable[[str], object] = lambda why: None

    def attach(
        self,
        future: concurrent.futures.Future[Any],
        stop: Callable[[], object],
        limit: Callable[..., object] = _nothing_to_limit,
        spend_out: Callable[[str], object] = lambda why: None,
    ) -> None:
        """Bind the work behind this run; called once by whoever starts it."""
        self._future, self._stop, self._limit, self._spend_out = future, stop, limit, spend_out

    @property
    def task(self) -> str:
        """The question as it was asked."""
        return self.tree.start.task if self.tree.start else ""

    @property
    def status(self) -> str:
        """Where it is: "running", "ok", "exhausted" (a limit was reached), "stopped" (by the user) or "failed".

        A run read from a log that ends before the run did has "failed".
        """
        return "failed" if self._is_cut else self.tree.status

    @property
    def _is_cut(self) -> bool:
        return self.tree.end is None and self.log.is_closed

    @property
    def answer(self) -> Any:
        """The answer, or None while there is none."""
        return self.tree.end.answer if self.tree.end else None

    @property
    def error(self) -> str | None:
        """One sentence on why there is no full answer."""
        if self._is_cut:
            return "the log ends before the run did"
        return self.tree.end.error if self.tree.end else None

    @property
    def offline(self) -> bool:
        """True when the rule-based stand-in answered, not a language model."""
        return bool(self.tree.start and self.tree.start.offline)

    @property
    def usage(self) -> ev.Usage:
        """What all model calls of the tree used; a figure the provider did not report is None."""
        return self.tree.usage

    @property
    def budget(self) -> Spending:
        """What is spent of the run's limits and what remains."""
        tree = self.tree
        if tree.budget is not None:
            return Spending(tree.budget.spent, tree.budget.remaining)
        limits, calls = tree.limits, tree.usage.llm_calls
        left = None if limits.calls is None else max(limits.calls - calls, 0)
        return Spending(ev.Limits(calls=calls, children=0), msgspec.structs.replace(limits, calls=left))

    @property
    def isolation(self) -> Isolation | None:
        """What protected the user from the generated code; None where none was run."""
        seen = self.tree.sandbox
        return Isolation(seen.backend, seen.tier, seen.guarantees, tuple(seen.missing)) if seen else None

    @property
    def artifacts(self) -> list[ev.Artifact]:
        """Files and oversized values the run kept, in order."""
        return list(self.tree.artifacts.values())

    def events(self, since: int = 0) -> list[ev.Event]:
        """The events with `seq >= since`, in order."""
        return self.log.events_since(since)

    def spans(self) -> pd.DataFrame:
        """One row per span; the columns are documented in `fleet_rlm.core.frame`."""
        return spans_frame(self.tree)

    def stop(self) -> None:
        """Ask the run to end now; returns at once. The trace is kept, and `status` becomes "stopped"."""
        self._stop()

    def limit(self, *, span: str | None = None, **limits: float | None) -> None:
        """Change what the run may spend while it goes on.

        Args:
            span: the id of a span, to cap what is below it; then `calls` is how many more calls may be made there.
            limits: the new `calls`, `tokens`, `usd`, `seconds`, `depth` or `children` of the run; None lifts one.

        Raises:
            UserError: the run is not running, or a limit is not one.
        """
        if self.status != "running":
            raise UserError(f"run {self.id} has ended ({self.status}); its budget cannot change any more")
        self._limit(span, **limits)

    @property
    def approvals(self) -> str:
        """Which tools of its agent wait for a person: "auto" (none), "edits" or "ask"."""
        latest = self.tree.resumed or self.tree.start
        return latest.approve if latest else "auto"

    @property
    def asks(self) -> list[Ask]:
        """What it waits for a person to decide, oldest first; `approve` answers."""
        return list(self.tree.asks.values())

    def approve(
        self, answer: str = "once", *, ask: int | None = None, note: str | None = None, by: str | None = None
    ) -> Ask:
        """Decide what the run asks; it goes on at once.

        Args:
            answer: one of the options of the ask: "once", "always" (this tool, for the rest of the run) or "no".
            ask: the `seq` of the ask; must be said where several wait.
            note: told to the model with a "no", so that it can go another way.
            by: who decides, for the log; where it is not said, whoever has the run in hand.

        Returns:
            what was decided.

        Raises:
            NotAsked: the run is not going on here, asks nothing, or was answered already.
            UserError: the answer is none of the options.
        """
        with self._deciding:
            asked = self._asked(ask)
            if asked.options and answer not in asked.options:
                raise UserError(f"answer one of {', '.join(map(repr, asked.options))}, not {answer[:80]!r}")
            self.log.emit(ev.ApprovalAnswer(span=asked.span, answer=answer, note=note, by=by))
        return asked

    def _asked(self, ask: int | None) -> Ask:
        if self.status != "running" or self._future is None:
            raise NotAsked(f"run {self.id} is not going on here ({self.status}), so there is nothing to decide")
        waiting = self.asks
        if ask is not None:
            asked = [one for span in list(self.tree.spans.values()) for one in span.asks if one.seq == ask]
            if asked and asked[0] not in waiting:
                told = f"was answered already: {asked[0].answer}" if asked[0].answer else "is not waited for any more"
                raise NotAsked(f"what run {self.id} asked at event {ask} {told}")
            waiting = asked
        if not waiting:
            raise NotAsked(f"run {self.id} asks nothing{'' if ask is None else f' at event {ask}'}")
        if len(waiting) > 1:
            which = "; ".join(f"{one.seq}: {one.question}" for one in waiting)
            raise NotAsked(f"run {self.id} asks {len(waiting)} things, say which by its number: {which}")
        return waiting[0]

    def spend_out(self, why: str) -> None:
        """Let it make no model call any more: it ends as "exhausted", with `why`, and can be resumed."""
        self._spend_out(why)

    def resume(self, **changes: Any) -> Run:
        """Go on with a run that has no answer: after a fault, a stop, a limit, or the death of its process.

        What is recorded is not done and not paid again. Takes `context`, `lm`, `sub_lm`, `budget` and `timeout`.
        Returns at once a `Run` of the same id: `wait()` for it.

        Raises:
            UserError, ModelError: as `fleet_rlm.resume`.
        """
        import fleet_rlm  # the front door, which knows who carries runs out

        return fleet_rlm.resume(self, **changes)

    def branch(self, span: str, **changes: Any) -> Run:
        """Start a run that shares this one's past up to `span` and differs from there.

        Takes one of `prompt`, `code` and `reply`, and `lm`, `sub_lm`, `budget`, `timeout` and `context`. Returns at
        once a new `Run`: `wait()` for it.

        Raises:
            UserError, ModelError: as `fleet_rlm.branch`.
        """
        import fleet_rlm

        return fleet_rlm.branch(self, span, **changes)

    def diff(self, other: Run) -> Diff:
        """This run and another side by side; a `Diff` shows as text and has a `frame()`."""
        from fleet_rlm.core.diff import Diff

        return Diff(self.tree, other.tree)

    def wait(self, timeout: float | None = None) -> Run:
        """Block until the run has ended.

        Raises:
            FleetError: the run failed, was stopped, or exhausted its budget without an answer; `error.run` is this run.
            TimeoutError: it is still running after `timeout` seconds.
        """
        if self._future is not None:
            try:
                self._future.result(timeout)
            except concurrent.futures.TimeoutError as error:
                if self._future.done():
                    raise
                raise TimeoutError(f"run {self.id} is still running after {timeout:g} s") from error
        return self

    def __await__(self) -> Generator[Any, None, Run]:
        return self._finished().__await__()

    async def _finished(self) -> Run:
        if self._future is not None:
            end = asyncio.wrap_future(self._future)
            end.add_done_callback(_seen)
            await asyncio.shield(end)  # leaving early must not end the run
        return self

    def to_jsonl(self, path: str | Path) -> Path:
        """Write the log, one event per line; `Run.from_jsonl` reads it back."""
        path = Path(path)
        path.write_bytes(b"".join(ev.encode(event) + b"\n" for event in self.events()))
        return path

    @classmethod
    def from_jsonl(cls, path: str | Path) -> Run:
        """The run of a log file.

        Raises:
            UserError: the file cannot be read or is not a gap-free fleet-rlm log.
        """
        try:
            with open(path, "rb") as lines:
                return cls(RunLog.read(iter(lines)))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise UserError(f"{path} is not a complete fleet-rlm log: {error}") from error

    def to_parquet(self, path: str | Path) -> Path:
        """Write `spans()` as Parquet."""
        self.spans().to_parquet(path)
        return Path(path)

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained report (no scripts from elsewhere, readable without a kernel)."""
        from fleet_rlm.core.report import html_page

        Path(path).write_text(html_page(self.tree), encoding="utf-8")
        return Path(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_lines, ([ev.encode(event) for event in self.events()],)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from fleet_rlm.core.report import mimebundle

        return mimebundle(self.tree)

    def __repr__(self) -> str:
        spans, calls = len(self.tree.spans), self.usage.llm_calls
        return f"Run({self.task[:60]!r}, status={self.status!r}, spans={spans}, llm_calls={calls})"


def _seen(end: asyncio.Future[Any]) -> None:
    """How it ended was told to whoever waited, or they left: asyncio need not print it."""
    if not end.cancelled():
        end.exception()
