"""The live view of one run: an anywidget that carries its events to the page, Stop and answers back.

Traits hold only what a saved notebook should still show without a kernel; the events travel as messages
(`fleet_rlm/notebook/channel.py`), the page asks for what it misses and ignores what it has. The page half is
`labextension/src/widget`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import anywidget
import msgspec
import traitlets

from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.events import Event, RunEnd, RunResume, RunStart, encode
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import background_loop
from fleet_rlm.notebook.channel import VERSION, Channel

BUILT = files("fleet_rlm") / "_static"

MAX_TITLE = 300
"""Characters of the question kept in the widget's state, which is saved with the notebook."""


class RunWidget(anywidget.AnyWidget):
    """Shows a run while it goes on and after it; any number of views and page reloads show the same.

    Args:
        log: the run's log; events on any thread.
        on_stop: called when somebody presses Stop, on whatever thread the kernel delivers messages; it must return
            at once. Should it raise, the page shows the error's text.
        on_approve: called likewise when somebody answers what the run asks, with the number of the ask, the answer and
            a note or None.
        title: what to show until the run has started.
        theme: "auto" takes the colours of Jupyter's theme; "light" and "dark" are for hosts that have none.

    Raises:
        FleetError: this installation has no built widget.
    """

    run_id = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    status = traitlets.Unicode("running").tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)
    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    _channel: Channel | None = None

    def __init__(
        self,
        log: RunLog,
        *,
        on_stop: Callable[[], object],
        on_approve: Callable[[int, str, str | None], object],
        title: str = "",
        theme: str = "auto",
    ) -> None:
        esm, css = page_half()
        super().__init__(run_id=log.run, title=title[:MAX_TITLE], theme=theme, _esm=esm, _css=css)
        self._on_stop, self._on_approve = on_stop, on_approve
        self.on_msg(self._receive)
        self._unsubscribe = log.subscribe(self._note, since=0)
        self._channel = Channel(log, self.send)

    def close(self) -> None:
        """Take the widget out of every page; the run goes on."""
        if self._channel is not None:
            self._channel.close()
            self._unsubscribe()
        super().close()

    def __repr__(self) -> str:
        return "<live view of a fleet run; it needs a running kernel>"

    def _receive(self, _widget: object, message: Any, _buffers: object) -> None:
        match message:
            case {"v": 1, "t": "hello", "have": int(have)} if self._channel is not None:
                self._channel.resend(have)
            case {"v": 1, "t": "stop", "id": str(request)}:
                self._reply(request, self._on_stop)
            case {"v": 1, "t": "approve", "id": str(request), "ask": int(ask), "answer": str(answer)}:
                note = message.get("note")
                self._reply(request, self._on_approve, ask, answer, note if isinstance(note, str) else None)

    def _reply(self, request: str, do: Callable[..., object], *given: object) -> None:
        self.send({"v": VERSION, "t": "reply", "id": request, **self._done(do, *given)})

    def _done(self, do: Callable[..., object], *given: object) -> dict[str, Any]:
        try:
            do(*given)
        except FleetError as error:  # one sentence, for whoever pressed the button
            return {"ok": False, "error": str(error)}
        except Exception as error:  # the page waits for an answer, whatever went wrong
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}
        return {"ok": True}

    def _note(self, event: Event) -> None:
        if isinstance(event, RunStart | RunResume | RunEnd):
            background_loop().call_soon_threadsafe(self._keep, event)

    def _keep(self, event: RunStart | RunResume | RunEnd) -> None:
        """Put into the traits what a page without a kernel should show."""
        kept = msgspec.json.decode(encode(event))
        with self.hold_sync():
            if isinstance(event, RunStart):
                self.title = event.task[:MAX_TITLE]
                self.snapshot = {**self.snapshot, "model": kept["model"], "offline": kept["offline"]}
            elif isinstance(event, RunResume):
                self.status = "running"
                self.snapshot = {**self.snapshot, "model": kept["model"], "answer": None, "error": None}
            else:
                self.status = event.status
                self.snapshot = {**self.snapshot, "answer": kept["answer"], "error": kept["error"]}


@functools.cache
def page_half(folder: Traversable = BUILT) -> tuple[str, str]:
    """The built module and style sheet.

    Raises:
        FleetError: they are not there, as in a checkout where nothing has been built yet.
    """
    try:
        return (folder / "widget.js").read_text("utf-8"), (folder / "widget.css").read_text("utf-8")
    except FileNotFoundError as error:
        raise FleetError("the run widget is not built; run `make widget`, or install a wheel") from error
