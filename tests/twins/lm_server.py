"""A loopback server that speaks the OpenAI chat API and answers as a script says.

A script is `(request: dict, call_index: int) -> str | Reply`; it runs on the server's own loop, one call at a time, and
must not block. The server keeps every request with its times and its end, so that a test can assert how many calls were
made, which were cancelled by the client, and that none began after a moment. A script that raises is a broken test: the
client gets a 400 and leaving the `with` block raises.

    with LMServer("Paris") as server:
        lm = dspy.LM("openai/test", api_base=server.base_url, api_key="test")

For other processes: `python -m tests.twins.lm_server --script package.module:name` prints the address on one line and
serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.twins.replies import Reply, body_of, chunks_of, refused_key, unknown_model

Script = Callable[[dict[str, Any], int], "str | Reply"]


@dataclass
class Received:
    """One chat request; `outcome` is "open", "answered", "cut" (by the script) or "cancelled" (the client left)."""

    index: int
    body: dict[str, Any]
    headers: dict[str, str]
    started: float
    finished: float | None = None
    outcome: str = "open"
    status: int | None = None

    @property
    def text(self) -> str:
        """All message contents, joined by blank lines."""
        contents = (message.get("content") for message in self.body.get("messages", ()))
        return "\n\n".join(content if isinstance(content, str) else json.dumps(content) for content in contents)


@dataclass
class LMServer:
    """The server; a context manager that serves in a thread of its own.

    Attributes:
        script: what it answers; a text or a Reply is the answer to every call.
        key: when given, any other bearer token is refused as OpenAI refuses it.
        models: when given, any other model name is unknown.
        port: 0 takes a free one.
        requests: every chat request, in order of arrival. `started` and `finished` are `time.monotonic()` seconds.
    """

    script: Script | str | Reply
    key: str | None = None
    models: Sequence[str] | None = None
    port: int = 0
    requests: list[Received] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._script_error: Exception | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lm-server", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """The address to give to a client, ending in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> int:
        """How many chat requests have arrived."""
        return len(self.requests)

    def __enter__(self) -> LMServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        if self._script_error is not None:
            raise AssertionError(f"the script of the LM server raised: {self._script_error!r}") from self._script_error

    def wait_for(self, calls: int, timeout: float = 30) -> None:
        """Block until that many requests have arrived.

        Raises:
            TimeoutError: with the number that did.
        """
        self._wait(lambda: self.calls >= calls, timeout, f"{calls} requests")

    def wait_idle(self, timeout: float = 30) -> None:
        """Block until no request is open.

        Raises:
            TimeoutError: one stays open.
        """
        self._wait(lambda: all(request.finished for request in self.requests), timeout, "the end of all requests")

    def _wait(self, reached: Callable[[], bool], timeout: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                outcomes = [request.outcome for request in self.requests]
                raise TimeoutError(f"the LM server waited {timeout:g} s in vain for {what}; it saw {outcomes}")

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                early: bytes | None = b""
                while early is not None:
                    early = await self._exchange(early, reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _exchange(self, early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """One request, whose first bytes are `early`, and its answer.

        Returns:
            what was already read of the next request; None when the connection is over.
        """
        head = (early + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if (method, path) == ("GET", "/v1/models"):
            listed = [{"id": name, "object": "model", "owned_by": "twin"} for name in self.models or ()]
            await _send(writer, Reply(raw=json.dumps({"object": "list", "data": listed}).encode()), {})
            return b""
        if (method, path) != ("POST", "/v1/chat/completions"):
            problem = {"error": {"message": f"Unknown request URL: {method} {path}.", "code": "unknown_url"}}
            await _send(writer, Reply(raw=json.dumps(problem).encode(), status=404), {})
            return b""
        with self._changed:
            request = Received(self.calls, json.loads(body), headers, time.monotonic())
            self.requests.append(request)
            self._changed.notify_all()
        answering = asyncio.ensure_future(self._answer(request, writer))
        leaving = asyncio.ensure_future(reader.read(1))  # from a client that waits only its end can come
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                request.outcome = "cancelled"
                return None
            if not await answering:
                return None
            return leaving.result() or None if leaving.done() else b""
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
            with self._changed:
                request.finished = time.monotonic()
                if request.outcome == "open":
                    request.outcome = "cancelled"
                self._changed.notify_all()

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        reply = self._reply(request)
        request.status = reply.status
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.gate is not None:
            await reply.gate.passed()
        alive = await _send(writer, reply, request.body)
        request.outcome = "answered" if alive else "cut"
        return alive

    def _reply(self, request: Received) -> Reply:
        model = request.body.get("model", "")
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return refused_key()
        if self.models is not None and model not in self.models:
            return unknown_model(model)
        try:
            reply = self.script(request.body, request.index) if callable(self.script) else self.script
        except Exception as error:
            self._script_error = error
            return Reply(status=400, error={"message": f"the script raised {error!r}", "type": "broken_test"})
        return reply if isinstance(reply, Reply) else Reply(reply)


async def _send(writer: asyncio.StreamWriter, reply: Reply, request: dict[str, Any]) -> bool:
    """Write the reply; False when it says to cut the connection."""
    streamed = bool(request.get("stream")) and reply.status == 200 and reply.raw is None
    headers = {"content-type": "text/event-stream" if streamed else "application/json", **reply.headers}
    if streamed:
        headers["transfer-encoding"] = "chunked"
        pieces = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks_of(reply, request)] + [b"0\r\n\r\n"]
    else:
        pieces = [body_of(reply, request)]
        headers["content-length"] = str(len(pieces[0]))
    lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    sent = 0
    for piece in pieces:
        if reply.cut is not None and sent + len(piece) > reply.cut:
            writer.write(piece[: reply.cut - sent])
            await writer.drain()
            return False
        writer.write(piece)
        sent += len(piece)
        await writer.drain()
    return True


def main() -> None:
    """Serve a script named on the command line until standard input ends."""
    options = argparse.ArgumentParser(prog="python -m tests.twins.lm_server")
    options.add_argument("--script", required=True, help="package.module:name of a script, or of a function making one")
    options.add_argument("--make", action="store_true", help="call the named object to get the script")
    options.add_argument("--port", type=int, default=0)
    given = options.parse_args()
    module, _, name = given.script.partition(":")
    script = getattr(importlib.import_module(module), name)
    with LMServer(script() if given.make else script, port=given.port) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
