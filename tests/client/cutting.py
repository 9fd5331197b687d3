"""A way to a server that breaks: it passes on so many bytes of each connection's answer and then hangs up.

with Cutting(server.port, after=1_500) as proxy:
    Client(proxy.address, ...)
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Self


class Cutting:
    """Listens at `address` while the block lasts; `cut` counts the connections it has broken."""

    def __init__(self, port: int, after: int) -> None:
        self._port = port
        self._after = after
        self.cut = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        served = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._pass, "127.0.0.1", 0), self._loop)
        self.address = f"http://127.0.0.1:{served.result(10).sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.ensure_future(self._copy(reader, far_writer, None))
        await self._copy(far_reader, writer, self._after)
        there.cancel()
        for one in (writer, far_writer):
            one.transport.abort()

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
