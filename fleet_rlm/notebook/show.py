"""What appears below a `%%fleet` cell: the live view while the run goes on, and the static output that remains.

In a notebook the live view is the widget, and the static output is a second, separate one, because saved notebooks keep
no widgets. In a terminal it is a line for each span that ends. `--quiet` leaves the answer alone.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import IPython.display

if TYPE_CHECKING:
    from fleet_rlm.core.run import Run


display: Callable[..., Any] = IPython.display.display
"""IPython's own, which it leaves untyped."""


class View(Protocol):
    """How one run is shown."""

    def begin(self, run: Run) -> None:
        """The run has started; no model call has been made."""

    def end(self, run: Run) -> None:
        """The run is over."""


def view_for(shell: Any, *, quiet: bool, detached: bool) -> View:
    """The view that fits the front end and the options of the cell."""
    if getattr(shell, "kernel", None) is None:
        return Silent(detached) if quiet or detached else Lines()
    if quiet:
        return Silent(detached)
    return DetachedWidget() if detached else Widget()


class Widget:
    """The live widget, then the static output below it.

    Raises:
        FleetError: the widget is not built; found before the run starts.
    """

    def __init__(self) -> None:
        from fleet_rlm.notebook.widget import page_half  # ipywidgets and anywidget: 0.2 s, only for who sees a run

        page_half()

    def begin(self, run: Run) -> None:
        from fleet_rlm.notebook.widget import RunWidget

        def approve(ask: int, answer: str, note: str | None) -> None:
            run.approve(answer, ask=ask, note=note)

        display(RunWidget(run.log, on_stop=run.stop, on_approve=approve, title=run.task))

    def end(self, run: Run) -> None:
        display(run)


class DetachedWidget(Widget):
    """The live widget and a line below it that becomes the static output: the cell has long ended by then."""

    def begin(self, run: Run) -> None:
        super().begin(run)
        self._handle = display({"text/plain": _goes_on(run)}, raw=True, display_id=True)

    def end(self, run: Run) -> None:
        self._handle.update(run)


class Silent:
    """The answer and nothing else; for a detached run, how to get at it."""

    def __init__(self, detached: bool) -> None:
        self._detached = detached

    def begin(self, run: Run) -> None:
        if self._detached:
            print(_goes_on(run))

    def end(self, run: Run) -> None:
        if run.answer is not None and not self._detached:
            display({"text/plain": str(run.answer), "text/markdown": str(run.answer)}, raw=True)


class Lines:
    """A line on stderr for each span that ends, then the static output; for terminals."""

    def begin(self, run: Run) -> None:
        # Subscribers may only take note, so a thread of this view writes: a terminal can block, the engine must not.
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        run.log.subscribe(self._events.put, since=0)
        self._writer = threading.Thread(target=self._write, args=(run,), name=f"lines of {run.id}", daemon=True)
        self._writer.start()

    def end(self, run: Run) -> None:
        self._events.put(None)
        self._writer.join()
        display(run)

    def _write(self, run: Run) -> None:
        from fleet_rlm.core.events import SpanEnd
        from fleet_rlm.core.report import span_line

        while (event := self._events.get()) is not None:
            if isinstance(event, SpanEnd) and event.span in run.tree.spans:
                print(span_line(run.tree.spans[event.span]), file=sys.stderr, flush=True)


def _goes_on(run: Run) -> str:
    return f"run {run.id} goes on in the background; %fleet status {run.id}, %fleet stop {run.id}, %fleet show {run.id}"
