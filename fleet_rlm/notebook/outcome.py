"""Waiting for the end of a run, and what its cell then raises.

An interrupt (KeyboardInterrupt in the blocking form, CancelledError in the awaiting one) stops the run and waits for
its clean-up, so that the trace is complete when the cell ends; the cell then fails in any case, and Run All halts
there. A failed cell shows one line, not the way through the engine: `_run.wait()` raises the error with all of that.
What is neither the end of a run nor an interrupt is a fault of this package and keeps its traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.errors import FleetError, RunStopped
from fleet_rlm.notebook.interrupts import cancelling

if TYPE_CHECKING:
    from fleet_rlm.core.run import Run

CLEAN_UP_SECONDS = 10
"""How long a cell waits for a run it has stopped; a second interrupt ends the wait at once."""


def wait(run: Run) -> FleetError | None:
    """Block until the run has ended; returns why there is no answer, if so. An interrupt stops the run."""
    try:
        run.wait()
    except FleetError as error:
        return error
    except KeyboardInterrupt:
        run.stop()
        try:
            run.wait(CLEAN_UP_SECONDS)
        except FleetError as error:
            return error
        except (TimeoutError, KeyboardInterrupt):
            pass  # what became of the run is told by `_interrupted`
        return _interrupted(run)
    return None


async def ended(run: Run) -> FleetError | None:
    """Await the end of the run; returns why there is no answer, if so. Cancelling the caller stops the run."""
    end = asyncio.ensure_future(_end(run))
    with cancelling():
        try:
            await asyncio.wait({end})
        except asyncio.CancelledError:
            run.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({end}, timeout=CLEAN_UP_SECONDS)
            return (end.done() and end.result()) or _interrupted(run)
    return end.result()


async def _end(run: Run) -> FleetError | None:
    try:
        await run
    except FleetError as error:
        return error
    return None


def _interrupted(run: Run) -> RunStopped:
    if run.status == "running":
        return RunStopped(f"run {run.id} was told to stop and is still cleaning up; %fleet status shows how far it is")
    return RunStopped(f"the cell was interrupted when run {run.id} had just ended: {run.status}")


def in_one_line(error: FleetError) -> FleetError:
    """A copy of the error that IPython shows as one line; its kind stays what it is."""
    shown: Any = type(error).__new__(type(error))  # no __init__: it may want more than the text
    shown.args = (f"{error} (trace: _run)",)
    shown.run = error.run
    shown._render_traceback_ = lambda: [f"{type(error).__name__}: {shown}"]
    return shown  # type: ignore[no-any-return]
