"""The recursion tree in a terminal while it grows: one line per span.

On a terminal the tree is redrawn in place and stays when the run is over. Elsewhere (a pipe, a log) each span is
written once and in the order of the tree: what holds others when it starts, a leaf when it ends, and of spans that run
at the same time the later one when the earlier one is complete.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from fleet_rlm.core.events import Event, SpanEnd, SpanStart
from fleet_rlm.core.report import span_line
from fleet_rlm.core.tree import SpanNode, Tree

if TYPE_CHECKING:
    from fleet_rlm.core.run import Run

LEAVES = frozenset({"llm", "sandbox"})
LINES = 150
"""Lines of a finished tree that stay on the terminal; the report has all of them."""

COLOURS = {"turn": "bold", "tool": "blue", "rlm": "bold cyan", "code": "yellow", "llm": "magenta", "iteration": "cyan"}


def live(run: Run, console: Console) -> TreeOnTerminal | TreeInLines:
    """The view that fits the console; entered while the run goes on, left when it is over."""
    return TreeOnTerminal(run, console) if console.is_terminal else TreeInLines(run, console)


class TreeOnTerminal:
    """Redrawn eight times a second from events that are only noted when they come."""

    def __init__(self, run: Run, console: Console) -> None:
        self._run, self._console = run, console
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._tree = Tree()
        self._over = False

    def __enter__(self) -> Self:
        self._unsubscribe = self._run.log.subscribe(self._events.put, since=0)
        self._live = Live(self, console=self._console, refresh_per_second=8, vertical_overflow="crop")
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unsubscribe()
        self._over = True
        self._live.vertical_overflow = "visible"
        self._live.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, the tree is off the terminal."""
        self._live.transient = True
        self._live.stop()
        try:
            yield
        finally:
            self._live.transient = False
            self._live.start()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        while not self._events.empty():
            self._tree.apply(self._events.get())
        lines = [_line(level, span) for level, span in self._tree.walk()]
        if self._over:
            yield from lines[:LINES]
            if len(lines) > LINES:
                yield Text(f"… {len(lines) - LINES:,} more spans, all of them in the report", style="dim")
            return
        room = max(console.height - 2, 5)
        if len(lines) > room:
            yield Text(f"… {len(lines) - room:,} lines above", style="dim")
        yield from lines[-room:]


class TreeInLines:
    """Written by a thread of its own: a pipe can block, and the engine must not wait for it."""

    def __init__(self, run: Run, console: Console) -> None:
        self._run, self._console = run, console
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._tree = Tree()
        self._written: set[str] = set()
        self._complete: set[str] = set()
        self._writer = threading.Thread(target=self._write, name="live tree", daemon=True)

    def __enter__(self) -> Self:
        self._unsubscribe = self._run.log.subscribe(self._events.put, since=0)
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unsubscribe()
        self._events.put(None)
        self._writer.join()

    def aside(self) -> AbstractContextManager[None]:
        """Lines stay where they are."""
        return nullcontext()

    def _write(self) -> None:
        while (event := self._events.get()) is not None:
            self._tree.apply(event)
            if isinstance(event, SpanStart | SpanEnd):
                self._advance(self._tree.roots, 0)
        for level, span in self._tree.walk():  # what a stopped run left open
            self._print(span, level)

    def _advance(self, spans: list[SpanNode], level: int) -> bool:
        """Write what can be written; True if all of `spans` and what they hold is complete."""
        for span in spans:
            if span.id in self._complete:
                continue
            if span.end is None and span.type in LEAVES:
                return False
            self._print(span, level)
            if not self._advance(self._tree.children(span), level + 1) or span.end is None:
                return False
            self._complete.add(span.id)
        return True

    def _print(self, span: SpanNode, level: int) -> None:
        if span.id not in self._written:
            self._written.add(span.id)
            self._console.print(_line(level, span), soft_wrap=True)


def _line(level: int, span: SpanNode) -> Text:
    style = "red" if span.status == "error" else COLOURS.get(span.type, "")
    return Text("  " * level + span_line(span), style=style, no_wrap=True, overflow="ellipsis")
