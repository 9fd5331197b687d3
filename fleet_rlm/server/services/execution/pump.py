"""A pump: moves the events of one run to one client, as fast as the client takes them and no faster.

It holds nothing: it takes what there is after what it sent last, so a client that lags gets larger frames and not a
longer queue. One whose connection takes nothing for too long is closed with 1013 ("try again later") and goes on where
it was with `?since=`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from tornado.iostream import StreamClosedError

from fleet_rlm.core.events import decode
from fleet_rlm.server.services.execution import messages
from fleet_rlm.server.services.runs.feed import END, Batch
from fleet_rlm.server.services.runs.models import TraceMode

if TYPE_CHECKING:
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.server.services.execution.handlers import Socket
    from fleet_rlm.server.services.runs.reading import Reading

TRY_AGAIN = 1013


class Gone(Exception):
    """The client is not there any more, or was closed because it is too slow."""


async def send(socket: Socket, text: str | bytes, where: str = "") -> None:
    """Send one frame and wait until the connection has taken it.

    It goes to the connection's stream: `write_message` makes a task for each, to translate one error.

    Raises:
        Gone: it cannot, or does not in time; it is closed then.
    """
    connection = socket.ws_connection
    stream = connection.stream if connection is not None and not connection.is_closing() else None
    if stream is None:
        raise Gone
    try:
        written = stream.write(_framed(text.encode() if isinstance(text, str) else text))
    except StreamClosedError:
        raise Gone from None
    if not written.done():  # rare: the system had no room for all of it
        await asyncio.wait({written}, timeout=socket.slow_s)
    if not written.done():
        socket.log.info("a client of %s takes nothing and is closed; it may go on with %s", socket.request.path, where)
        socket.close(TRY_AGAIN, f"too slow; go on with {where}" if where else "too slow")
        raise Gone
    if written.cancelled() or written.exception() is not None:
        raise Gone


def _framed(payload: bytes) -> bytes:
    """A server's whole text frame (RFC 6455, 5.2); we negotiate no compression."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1) + payload
    return (b"\x81\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x81\x7f" + size.to_bytes(8)) + payload


async def pump(
    socket: Socket, reading: Reading, identity: Identity, run: str, since: int, trace: TraceMode = "verbose"
) -> int:
    """Send a run's events from `since` on, and how it ended.

    Returns:
        the number of its next event.

    Raises:
        Gone: the client is.
        NotFound: there is no such run for this identity.
    """
    place, status = since, ""
    async with aclosing(reading.events(identity, run, since)) as batches:
        async for batch in batches:
            await send(socket, _encoded(batch, trace), f"since={place}")
            place = batch.next
            if batch.lines[-1].startswith(END):
                status = decode(batch.lines[-1]).status  # type: ignore[attr-defined]
    if not status:
        status = (await reading.get(identity, run)).status
    await send(socket, messages.frame("ended", run=run, status=status, next=place), f"since={place}")
    return place


_latest: tuple[Batch, TraceMode, bytes] | None = None


def _encoded(batch: Batch, trace: TraceMode) -> bytes:
    """The frame of a batch, once for all who are at the same place: a feed gives them the same batch."""
    global _latest
    if _latest is None or _latest[0] is not batch or _latest[1] != trace:
        _latest = batch, trace, messages.events(batch, trace)
    return _latest[2]
