"""Plain HTTP to a model's server: what dspy would send, on kept connections, and every end of a reply understood."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from fleet_rlm.lm import transport as module
from fleet_rlm.lm.transport import Transport, http11, lm15
from tests.twins.lm_server import LMServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers requests with the given bytes, one after the other, then with the last again; or talks as told."""

    def __init__(self, *replies: bytes | Talk) -> None:
        self._replies = list(replies)
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = asyncio.Queue[None]()  # one item per connection that the client ended

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat"

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head + await reader.readexactly(4))
                reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
                if not isinstance(reply, bytes):
                    await reply(reader, writer)
                    break
                writer.write(reply)
                if b"close" in reply:
                    break
        self.ended.put_nowait(None)
        writer.close()


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test on a loop of its own, for ten seconds at most."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**arguments), 10))

    return run


def request(url: str, **more: Any) -> Any:
    return lm15.TransportRequest("POST", url, [("Authorization", "Bearer k")], b"body", **more)


async def asked(transport: Any, url: str, **more: Any) -> bytes:
    async with transport.stream(request(url, **more)) as reply:
        body: bytes = await reply.read()
        return body


@contextlib.asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Transport]:
    transport = Transport(**settings)
    try:
        yield transport
    finally:
        await transport.aclose()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_dspy_has_what_we_use_of_it() -> None:
    errors = ("TransportError", "ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "ProtocolError")
    for name in (*errors, "AsyncTransportResponse", "StdlibAsyncTransport", "Timeouts", "DEFAULT_MAX_CONNECTIONS"):
        assert hasattr(lm15, name)
    assert callable(http11.build_request_head)
    assert module.parsed("http://h:1/p").origin() == ("http", "h", 1)


@on_a_loop
async def test_it_sends_what_dspys_own_transport_sends() -> None:
    async with Server(OK) as server, opened() as ours:
        assert await asked(ours, server.url) == b"ok"
        assert await asked(lm15.StdlibAsyncTransport(), server.url) == b"ok"
    assert server.requests[0] == server.requests[1]


@on_a_loop
async def test_one_exchange_after_the_other_uses_one_connection() -> None:
    async with Server(OK) as server, opened() as transport:
        assert [await asked(transport, server.url) for _ in range(5)] == [b"ok"] * 5
    assert server.connections == 1


@on_a_loop
async def test_exchanges_side_by_side_have_a_connection_each_and_are_not_mixed_up() -> None:
    meeting = asyncio.Barrier(8)

    async def together(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await meeting.wait()
        told = b"%d" % writer.get_extra_info("peername")[1]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))

    async with Server(together) as server, opened() as transport:
        answers = await asyncio.gather(*(asked(transport, server.url) for _ in range(8)))
    assert len(set(answers)) == server.connections == 8


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), id="it says so"),
        pytest.param(OK + b"HTTP/1.1 500 Unasked\r\n\r\n", id="it says more than was asked"),
    ],
)
@on_a_loop
async def test_a_connection_that_is_no_longer_good_is_not_used_again(reply: bytes) -> None:
    async with Server(reply) as server, opened() as transport:
        assert [await asked(transport, server.url) for _ in range(2)] == [b"ok"] * 2
    assert server.connections == 2


@on_a_loop
async def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    async def once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async with Server(once) as server, opened() as transport:
        assert await asked(transport, server.url) == b"ok"
        await server.ended.get()
        assert await asked(transport, server.url) == b"ok"
    assert server.connections == 2


@on_a_loop
async def test_a_streamed_body_is_given_as_it_arrives() -> None:
    heard = asyncio.Event()

    async def streaming(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await heard.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with Server(streaming) as server, opened() as transport:
        async with transport.stream(request(server.url)) as reply:
            chunks = []
            async for chunk in reply:
                chunks.append(chunk)
                heard.set()
    assert chunks == [b"one", b"two"]


@on_a_loop
async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async def closing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with Server(closing) as server, opened() as transport:
        assert await asked(transport, server.url) == b"all of it"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", "ReadError"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "ReadError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "ProtocolError"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok", "ProtocolError"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "ProtocolError"),
    ],
)
@on_a_loop
async def test_a_reply_that_is_cut_or_none_is_an_error(said: bytes, error: str) -> None:
    async def saying(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    async with Server(saying) as server, opened() as transport:
        with pytest.raises(getattr(lm15, error)):
            await asked(transport, server.url)


@on_a_loop
async def test_a_server_that_says_nothing_is_not_waited_for_without_end() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with Server(silent) as server, opened() as transport:
        with pytest.raises(lm15.ReadTimeout):
            await asked(transport, server.url, read_timeout=0.05)
        await server.ended.get()


@on_a_loop
async def test_a_server_that_is_not_there_is_an_error() -> None:
    async with Server(OK) as server:
        pass
    async with opened() as transport:
        with pytest.raises(lm15.ConnectError):
            await asked(transport, server.url)


@on_a_loop
async def test_a_cancelled_exchange_ends_its_connection_at_once_and_leaves_room() -> None:
    begun = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()

    async with Server(waiting, OK) as server, opened(max_connections=1) as transport:
        exchange = asyncio.create_task(asked(transport, server.url))
        await begun.wait()
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        await server.ended.get()
        assert await asked(transport, server.url) == b"ok"


@on_a_loop
async def test_a_body_that_nobody_reads_to_its_end_ends_its_connection() -> None:
    async with Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", OK) as server, opened() as transport:
        async with transport.stream(request(server.url)) as reply:
            assert reply.status == 200
        await server.ended.get()
        assert await asked(transport, server.url) == b"ok"


@on_a_loop
async def test_there_are_no_more_connections_than_allowed() -> None:
    gate = asyncio.Event()

    async def held(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(OK)

    timeouts = lm15.Timeouts(pool=0.05)
    async with Server(held) as server, opened(timeouts=timeouts, max_connections=1) as transport:
        first = asyncio.create_task(asked(transport, server.url))
        await asyncio.sleep(0)
        with pytest.raises(lm15.TransportError, match="none of 1 connections"):
            await asked(transport, server.url)
        gate.set()
        assert await first == b"ok"
        assert await asked(transport, server.url) == b"ok"


@on_a_loop
async def test_a_proxy_of_the_environment_is_used_except_for_those_it_is_not_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Server(OK) as server, Server(OK) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with opened() as transport:
            await asked(transport, server.url)
        assert (len(server.requests), len(proxy.requests)) == (0, 1)
        assert proxy.requests[0].startswith(f"POST {server.url} HTTP/1.1".encode())
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with opened() as transport:
            await asked(transport, server.url)
        assert (len(server.requests), len(proxy.requests)) == (1, 1)


@on_a_loop
async def test_closing_ends_what_is_kept_and_takes_no_more() -> None:
    async with Server(OK) as server:
        transport = Transport()
        await asked(transport, server.url)
        await transport.aclose()
        await server.ended.get()
        with pytest.raises(lm15.TransportError):
            await asked(transport, server.url)


@on_a_loop
async def test_a_transport_that_is_dropped_leaves_no_connection_behind() -> None:
    async with Server(OK) as server:
        transport = Transport()
        await asked(transport, server.url)
        del transport
        gc.collect()
        await server.ended.get()


def test_a_loop_that_ended_leaves_no_kept_connection_open_and_warns_of_none() -> None:
    transports: list[Transport] = []

    async def kept(url: str) -> None:
        transports.append(Transport())
        await asked(transports[0], url)

    before = set(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings(record=True) as warned, LMServer("Paris") as server:
        warnings.simplefilter("always")
        asyncio.run(kept(f"{server.base_url}/unknown"))
        transports.clear()
        gc.collect()
    assert not [one for one in warned if "unclosed transport" in str(one.message)]
    assert set(os.listdir("/proc/self/fd")) <= before
