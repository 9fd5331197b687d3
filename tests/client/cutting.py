"""A way to a server that breaks: it passes on so many bytes of each connection's answer and then hangs up.

with Cutting(server.port, after=1_500) as proxy:
    Client(proxy.address, ...)
    proxy.down()   # hangs up on everybody, and lets nobody in
    proxy.up()
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Self


class Cutting:
    """Listens at `address` while the block lasts; `cut` counts the connections it has broken."""

    def __init__(self, port: int, after: int | None = None) -> None:
        self._port = port
        self._after = after
        self._is_up = True
        self._open: set[asyncio.StreamWriter] = set()
        self.cut = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        served = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._pass, "127.0.0.1", 0), self._loop)
        self.address = f"http://127.0.0.1:{served.result(10).sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def down(self) -> None:
        """Hang up on everybody, and let nobody in; returns once nobody is."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(10)

    def up(self) -> None:
        """Let them in again."""
        self._is_up = True

    async def _hang_up(self) -> None:
        self._is_up = False
        while self._open:
            for writer in self._open:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_up:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        both = {writer, far_writer}
        self._open |= both
        there = asyncio.ensure_future(self._copy(reader, far_writer, None))
        await self._copy(far_reader, writer, self._after)
        there.cancel()
        for one in both:
            one.transport.abort()
        self._open -= both

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4_096):
                writer.write(data)
                await writer.drain()
                passed += len(data)
                if most is not None and passed > most:
                    self.cut += 1
                    return
