"""Plain HTTP to a model's server, in as few steps as an exchange needs.

Sub-queries run by the dozen, and dspy's own transport makes three tasks and timers for each and reads the environment's
proxies anew: more work than all the rest of a call. Here an exchange is one write and one future. What is sent and how
it is read stays dspy's (its dialects, its HTTP codec, its errors), and so does whatever needs TLS or a proxy.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import importlib
import itertools
import select
import urllib.request
import weakref
from collections.abc import AsyncIterator
from typing import Any

# By name, for to mypy dspy is untyped as a whole, and this part of it is not. Pinned by `tests/lm/test_transport.py`.
lm15: Any = importlib.import_module("dspy._vendor.lm15.transports")
http11: Any = importlib.import_module("dspy._vendor.lm15.transports._http11")
parsed = functools.lru_cache(maxsize=64)(importlib.import_module("dspy._vendor.lm15.transports._url").parse_url)

Origin = tuple[str, str, int]


class Transport:
    """What dspy's clients ask for a transport: `stream`, and `aclose`.

    Made on the loop that uses it. Which servers are reached by a proxy is looked up once.

    Args:
        timeouts: dspy's, in seconds: connecting, reading (without a byte), writing, waiting for a free connection.
    """

    def __init__(self, timeouts: Any = None, max_connections: int | None = None) -> None:
        self._timeouts = timeouts or lm15.Timeouts()
        self._most = max_connections or lm15.DEFAULT_MAX_CONNECTIONS
        self._room = asyncio.Semaphore(self._most)
        self._kept: dict[Origin, list[Connection]] = collections.defaultdict(list)
        self._direct: dict[Origin, bool] = {}
        self._is_closed = False
        self._others = lm15.StdlibAsyncTransport(
            connect_timeout=self._timeouts.connect,
            read_timeout=self._timeouts.read,
            write_timeout=self._timeouts.write,
            pool_timeout=self._timeouts.pool,
            max_connections=self._most,
        )
        weakref.finalize(self, _let_go, asyncio.get_running_loop(), self._kept)

    def stream(self, request: Any) -> contextlib.AbstractAsyncContextManager[Any]:
        """Ask, and give the reply once its head is here.

        Raises:
            TransportError: of dspy's: the server cannot be reached, or what it says is no HTTP.
        """
        url = parsed(request.url)
        exchange: contextlib.AbstractAsyncContextManager[Any]
        exchange = self._exchange(request, url) if self._is_direct(url) else self._others.stream(request)
        return exchange

    async def aclose(self) -> None:
        """Close every connection that is not in use; those in use are closed after it."""
        self._is_closed = True
        _close(self._kept)
        await self._others.aclose()

    @contextlib.asynccontextmanager
    async def _exchange(self, request: Any, url: Any) -> AsyncIterator[Any]:
        if self._is_closed:
            raise lm15.TransportError("transport is closed")
        patience = request.read_timeout or self._timeouts.read
        await self._take_room()
        try:
            connection = self._idle(url.origin()) or await self._connected(url, request.connect_timeout)
            try:
                connection.ask(_head(request, url), request.body, request.method)
                reply = await connection.reply(patience)
                yield lm15.AsyncTransportResponse(
                    status=reply.status,
                    reason=reply.reason,
                    headers=reply.headers,
                    http_version=reply.http_version,
                    chunks=connection.body(patience),
                    release=_done_below,
                )
            finally:
                if connection.is_reusable and not self._is_closed:
                    self._kept[url.origin()].append(connection)
                else:
                    connection.abort()
        finally:
            self._room.release()

    def _is_direct(self, url: Any) -> bool:
        if url.is_tls:
            return False
        origin = url.origin()
        if origin not in self._direct:
            proxies = urllib.request.getproxies()
            proxied = proxies.get("http") or proxies.get("all")
            self._direct[origin] = not proxied or bool(urllib.request.proxy_bypass(url.host))
        return self._direct[origin]

    async def _take_room(self) -> None:
        try:
            async with asyncio.timeout(self._timeouts.pool if self._room.locked() else None):
                await self._room.acquire()
        except TimeoutError:
            raise lm15.TransportError(f"none of {self._most} connections became free in time") from None

    def _idle(self, origin: Origin) -> Connection | None:
        kept = self._kept[origin]
        while kept:
            connection = kept.pop()
            if connection.is_fresh:
                return connection
            connection.abort()
        return None

    async def _connected(self, url: Any, patience: float | None) -> Connection:
        where = f"{url.host}:{url.port}"
        try:
            async with asyncio.timeout(patience or self._timeouts.connect):
                _, connection = await asyncio.get_running_loop().create_connection(Connection, url.host, url.port)
        except TimeoutError as error:
            raise lm15.ConnectTimeout(f"timed out connecting to {where}") from error
        except OSError as error:
            raise lm15.ConnectError(f"failed to connect to {where}: {error}") from error
        return connection


class Connection(asyncio.Protocol):
    """One connection to a server: one exchange after the other."""

    _transport: asyncio.Transport
    _parser: Any

    def __init__(self) -> None:
        self._body: Any = None  # dspy's decoder of the body, once the head is whole
        self._chunks: collections.deque[bytes] = collections.deque()
        self._failure: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._is_asked = False
        self._is_closed = False
        self._method = ""

    def ask(self, head: bytes, body: bytes, method: str) -> None:
        """Send a request."""
        self._parser, self._body, self._method, self._is_asked = http11.ResponseHeadParser(), None, method, True
        self._transport.write(head + body)

    async def reply(self, patience: float) -> Any:
        """Wait for the head of the reply; `patience` is seconds without a byte, here and below."""
        while self._body is None:
            await self._news(patience)
        return self._parser

    async def body(self, patience: float) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._body.complete:
                self._is_asked = False
                return
            await self._news(patience)

    @property
    def is_reusable(self) -> bool:
        """Whether the exchange ended so that another may follow."""
        over = not self._is_asked and not self._is_closed and self._failure is None
        return over and not self._body.leftover and self._parser.keep_alive()

    @property
    def is_fresh(self) -> bool:
        """Whether the server has neither closed it nor said anything unasked, even if the loop has not read it yet."""
        if self._is_closed or self._failure is not None:
            return False
        socket = self._transport.get_extra_info("socket")
        try:
            return not select.select([socket], [], [], 0)[0]
        except (OSError, ValueError):
            return False

    def abort(self) -> None:
        """Close at once."""
        self._is_closed = True
        self._transport.abort()

    def forget(self) -> None:
        """Close the socket of a loop that has ended, as asyncio itself does when it can still be asked to."""
        transport: Any = self._transport
        if (socket := getattr(transport, "_sock", None)) is not None:
            socket.close()
            transport._sock = None

    async def _news(self, patience: float) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(patience):
                await self._waiting
        except TimeoutError:
            raise lm15.ReadTimeout(f"read timed out: nothing came for {patience:g} s") from None
        finally:
            self._waiting = None

    # ---- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._is_asked:
            self.abort()
            return
        try:
            if self._body is None:
                self._parser.feed(data)
                if self._parser.complete:
                    self._body, data = self._parser.body_decoder(self._method), self._parser.leftover
            if self._body is not None and data:
                self._chunks.extend(self._body.feed(data))
        except lm15.ProtocolError as error:
            self._failure = error
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_closed = True
        if self._failure is None and self._is_asked:
            self._failure = self._end_of_reply(error)
        self._wake()

    def _end_of_reply(self, error: Exception | None) -> Exception | None:
        """The server says no more: what is missing, if anything."""
        if self._body is None:
            why = f": {error}" if error else ""
            return lm15.ReadError(f"server closed connection before sending response{why}")  # type: ignore[no-any-return]
        if not self._body.complete:
            try:
                self._body.eof()
            except lm15.ProtocolError as cut:
                return cut  # type: ignore[no-any-return]
            self._chunks.append(self._body.drain())
        return None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _head(request: Any, url: Any) -> bytes:
    has_body = bool(request.body) or request.method.upper() not in ("GET", "HEAD", "DELETE")
    head: bytes = http11.build_request_head(
        method=request.method,
        target=url.target,
        host=url.host,
        port=url.port,
        is_tls=False,
        headers=request.headers,
        body_length=len(request.body) if has_body else None,
    )
    return head


async def _done_below(_whole: bool) -> None:
    """The exchange itself lets go of its connection."""


def _let_go(loop: asyncio.AbstractEventLoop, kept: dict[Any, list[Connection]]) -> None:
    """Close what a transport that is gone had kept; this may be any thread."""
    try:
        loop.call_soon_threadsafe(_close, kept)
    except RuntimeError:  # the loop is gone, too, and closes nothing any more
        for connection in itertools.chain.from_iterable(kept.values()):
            connection.forget()
        kept.clear()


def _close(kept: dict[Any, list[Connection]]) -> None:
    for connections in kept.values():
        for connection in connections:
            connection.abort()
    kept.clear()
