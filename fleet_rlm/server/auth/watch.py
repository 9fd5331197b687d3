"""An open WebSocket ends when what it was opened with does: the token expires, the user signs out, the tenant leaves.

It covers every WebSocket of the server, kernels' too: a connection may live for days, an Entra token for an hour.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable

from tornado.websocket import WebSocketHandler

CLOSE_CODE = 4401
LOOK_S = 60
NOT_OPEN_S = 1


def watch(handler: WebSocketHandler, exp: float, still: Callable[[], Awaitable[bool]], look_s: float = LOOK_S) -> None:
    """Close the socket at `exp` (seconds since the epoch), or up to `look_s` seconds after `still` turned false."""
    loop = asyncio.get_running_loop()
    socket = weakref.ref(handler)
    tasks: set[asyncio.Task[None]] = set()  # a loop keeps only weak references

    def later() -> None:
        loop.call_later(max(0.0, min(look_s, exp - time.time())), begin)

    def begin() -> None:
        if socket() is None:
            return
        task = loop.create_task(look())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def look() -> None:
        over = time.time() >= exp or not await still()
        one = socket()
        if not over:
            later()
        elif one is not None and one.ws_connection is None:  # not open yet, or closed and about to be forgotten
            loop.call_later(NOT_OPEN_S, begin)
        elif one is not None:
            one.close(CLOSE_CODE, "the sign-in has ended; sign in again")

    later()
