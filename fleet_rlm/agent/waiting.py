"""Waiting for the end of a run: whoever gives up waiting stops it, and its trace is kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.run import Run


def wait_for(start: Callable[[], Run]) -> Run:
    """Start a run and block until it ends. Raises what `start` and `Run.wait` raise."""
    run = start()
    try:
        return run.wait()
    except KeyboardInterrupt:
        run.stop()
        raise


async def await_for(start: Callable[[], Run]) -> Run:
    """`wait_for` for async code; cancelled, it returns once the run has stopped."""
    starting = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        return await (await asyncio.shield(starting))
    except asyncio.CancelledError:
        with contextlib.suppress(FleetError):
            run = await starting  # a thread cannot be cancelled: let it start the run, then stop that
            run.stop()
            await run
        raise
