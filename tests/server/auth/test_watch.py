"""An open WebSocket ends with its proof, and one that is gone is not watched."""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import Any

import pytest

from fleet_rlm.server.auth.watch import CLOSE_CODE, watch

pytestmark = pytest.mark.anyio


class Socket:
    """What `watch` needs of a WebSocketHandler: something that can be closed and forgotten."""

    ws_connection: object | None = object()

    def __init__(self) -> None:
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def close(self, code: int, reason: str) -> None:
        self.closed.set_result(code)


async def yes() -> bool:
    return True


async def test_it_closes_when_the_token_ends() -> None:
    socket: Any = Socket()
    end = time.time() + 0.1
    watch(socket, end, yes)
    assert await asyncio.wait_for(socket.closed, 5) == CLOSE_CODE
    assert time.time() >= end - 0.01


async def test_it_closes_when_the_user_signed_out() -> None:
    socket: Any = Socket()
    looks = 0

    async def still() -> bool:
        nonlocal looks
        looks += 1
        return looks < 3

    watch(socket, time.time() + 600, still, look_s=0.01)
    assert await asyncio.wait_for(socket.closed, 5) == CLOSE_CODE
    assert looks == 3


async def test_it_closes_when_it_opens_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet_rlm.server.auth.watch.NOT_OPEN_S", 0.01)
    socket: Any = Socket()
    socket.ws_connection = None
    watch(socket, time.time() - 1, yes)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(socket.closed), 0.1)
    socket.ws_connection = object()
    assert await asyncio.wait_for(socket.closed, 5) == CLOSE_CODE


async def test_a_socket_that_is_gone_is_neither_kept_nor_watched() -> None:
    socket: Any = Socket()
    asked = asyncio.Event()

    async def still() -> bool:
        asked.set()
        return True

    watch(socket, time.time() + 600, still, look_s=0.01)
    await asyncio.wait_for(asked.wait(), 5)
    gone = weakref.ref(socket)
    del socket
    assert gone() is None
    asked.clear()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asked.wait(), 0.1)
