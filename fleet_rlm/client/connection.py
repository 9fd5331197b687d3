"""Connection: one server over HTTP and WebSockets, whoever signs in; what it answers comes back as records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fleet_rlm.client.errors import BadAddress, NotReached, Refused, refused
from fleet_rlm.core.events import Event, decode

T = TypeVar("T")

TIMEOUT_S = 150.0
"""Opening a session may start a kernel, which may have to import much."""

PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before each new attempt to go on where a connection broke; an event that arrives begins them anew."""

OVER, NOT_FOUND, SIGN_IN, BAD_QUERY = 1000, 4404, 4401, 4400


class Connection:
    """Speaks to one server.

    Args:
        address: of the server, its base URL included.
        token: the server's own token, or an access token where `bearer`.
    """

    def __init__(self, address: str, token: str | None, *, bearer: bool, headers: dict[str, str] | None) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise BadAddress(f"{address!r} is no address of a server; write http://127.0.0.1:8000")
        self._base = address.rstrip("/") + "/fleet/"
        self._headers = dict(headers or {})
        if token is not None:
            self._headers["Authorization"] = f"{'Bearer' if bearer else 'token'} {token}"
        self._http = httpx.AsyncClient(headers=self._headers, timeout=TIMEOUT_S)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        type: type[T],
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, Any] | None = None,
        content: bytes | None = None,
        good: tuple[int, ...] = (),
    ) -> T:
        """What the server answers, as a record; what is None in body and query is left out.

        Raises:
            NotReached: it does not answer.
            Refused: it does not do it.
        """
        options: dict[str, Any] = {"params": _given(query)} if query else {}
        if body is not None:
            options["json"] = _given(body)
        if content is not None:
            options["content"] = content
        try:
            response = await self._http.request(method, self._base + path, **options)
        except httpx.HTTPError as error:
            raise NotReached(f"{self._base} does not answer ({error.__class__.__name__}: {error})") from error
        if not response.is_success and response.status_code not in good:
            raise refused(response.status_code, _json(response.content))
        if not response.content:
            return msgspec.convert(None, type)
        return msgspec.json.decode(response.content, type=type)

    async def download(self, path: str, to: Path, query: dict[str, Any] | None = None) -> Path:
        """Write what the server sends to a file, which is there whole or not at all.

        Raises:
            NotReached, Refused: as `ask`.
        """
        partial = to.with_name(f".{to.name}.partial")
        try:
            async with self._http.stream("GET", self._base + path, params=_given(query or {})) as response:
                if not response.is_success:
                    raise refused(response.status_code, _json(await response.aread()))
                with partial.open("wb") as file:
                    async for piece in response.aiter_bytes():
                        file.write(piece)
            partial.replace(to)
        except httpx.HTTPError as error:
            raise NotReached(f"{self._base} broke off ({error.__class__.__name__}: {error})") from error
        finally:
            partial.unlink(missing_ok=True)
        return to

    async def events(self, run: str, since: int) -> AsyncGenerator[Event]:
        """The events of a run from number `since` on, each once, until it is over; a broken connection is made anew.

        Raises:
            NotReached: it cannot be made any more.
            Refused: there is no such run, or the sign-in has ended.
        """
        broken = 0
        while True:
            try:
                async with self._watching(run, since) as socket:
                    async for text in socket:
                        told = msgspec.json.decode(text, type=_Frame)
                        broken = 0
                        if told.type == "ended":
                            return
                        if told.type == "error":
                            raise Refused(OVER, told.code, told.message)
                        for line in told.events:
                            event = decode(bytes(line))
                            if event.seq >= since:
                                since = event.seq + 1
                                yield event
                        since = max(since, told.to + 1)
                if socket.close_code in (NOT_FOUND, SIGN_IN, BAD_QUERY):
                    raise Refused(socket.close_code, _CODES[socket.close_code], socket.close_reason or "not watched")
            except InvalidStatus as error:
                if error.response.status_code < 500:
                    raise refused(error.response.status_code, _json(error.response.body or b"")) from error
            except ConnectionClosed as error:
                if error.rcvd is not None and error.rcvd.code in (NOT_FOUND, SIGN_IN, BAD_QUERY):
                    raise Refused(error.rcvd.code, _CODES[error.rcvd.code], error.rcvd.reason) from error
            except (OSError, TimeoutError):
                pass
            if broken >= len(PAUSES_S):
                raise NotReached(f"{self._base} broke off at event {since} of run {run} and does not answer any more")
            await asyncio.sleep(PAUSES_S[broken])
            broken += 1

    def _watching(self, run: str, since: int) -> connect:
        query = urlencode({"run": run, "since": since})
        address = f"ws{self._base.removeprefix('http')}api/v1/ws/execution/events?{query}"
        return connect(address, additional_headers=self._headers, max_size=None, proxy=None)


class _Frame(msgspec.Struct):
    """One thing the server says to who watches."""

    type: str
    events: list[msgspec.Raw] = []
    to: int = -1
    code: str = ""
    message: str = ""


_CODES = {NOT_FOUND: "not_found", SIGN_IN: "invalid_token", BAD_QUERY: "invalid_request"}


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(content: bytes | bytearray) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None
