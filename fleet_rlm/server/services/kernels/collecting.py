"""One watch over the sockets of all links: what many kernels tell at a time is read together.

A turn of the server's loop costs more than the message it was made for. So the sockets are behind a selector of their
own, which wakes the loop once for all of them: at once where it is quiet, and else not before `PERIOD_S` have passed
since the last time. What has come by then is taken in one turn.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable

from zmq.eventloop.zmqstream import ZMQStream

PERIOD_S = 0.004
"""A fifth of the 20 ms that relaying may take; at a thousand messages a second four are read in a turn."""


class Collector:
    """Reads streams, all of one event loop."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._read_at = -math.inf

    def watch(self, stream: ZMQStream, take: Callable[[], object]) -> Callable[[], None]:
        """Call `take` when there is something to receive; the stream's own loop does not look any more.

        `take` must receive until nothing is left, because a socket tells once that there is something. The stream sends
        as before, and what it finds to receive when it does so goes its own way.

        Returns:
            what ends it, to be called before the stream is closed.
        """
        if not hasattr(self._selector, "fileno"):  # Windows, where no loop can wait for a selector
            return lambda: None
        loop = asyncio.get_running_loop()
        stream.io_loop.remove_handler(stream.socket)
        if not self._selector.get_map():
            loop.add_reader(self._selector.fileno(), self._woken, loop)
        place = self._selector.register(stream.socket.fileno(), selectors.EVENT_READ, take).fd

        def unwatch() -> None:
            self._selector.unregister(place)
            if not self._selector.get_map():
                loop.remove_reader(self._selector.fileno())

        return unwatch

    def _woken(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._read_at + PERIOD_S - loop.time()
        if due > 0:  # until then it would wake the loop again and again
            loop.remove_reader(self._selector.fileno())
            loop.call_later(due, self._wake_again, loop)
        else:
            self._read_at = loop.time()
            for place, _ in self._selector.select(0):
                place.data()

    def _wake_again(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._selector.get_map():
            loop.add_reader(self._selector.fileno(), self._woken, loop)
            self._woken(loop)
