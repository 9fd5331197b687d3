"""Connection: one server over HTTP and WebSockets, whoever signs in; what it answers comes back as records.

A read that fails on its way is tried again; whatever changes something is sent anew only where it cannot have arrived.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec
from websockets.asyncio.client import connect

from fleet_rlm.client.errors import BadAddress, NotReached, NotTrusted, refused

T = TypeVar("T")

TIMEOUT_S = 150.0
"""Opening a session may start a kernel, which may have to import much."""

CONNECT_S = 10.0

AGAIN_S = (0.1, 0.5)
"""Before each new attempt to ask."""


class Connection:
    """Speaks to one server. A proxy of the environment is used, unless the server is on this machine.

    Args:
        address: of the server, its base URL included.
        token: the server's own token, or an access token where `bearer`.
        timeout: seconds to wait for one answer.
        ca: file with the certificate of who signs the server's; those the system trusts by default.
    """

    def __init__(
        self,
        address: str,
        token: str | None,
        *,
        bearer: bool,
        headers: dict[str, str] | None,
        timeout: float = TIMEOUT_S,
        ca: str | Path | None = None,
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise BadAddress(f"{address!r} is no address of a server; write http://127.0.0.1:8000")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise BadAddress("the token holds characters that no token has; was it copied with a line end?")
        self.base = address.rstrip("/") + "/fleet/"
        self._headers = dict(headers or {})
        if token is not None:
            self._headers["Authorization"] = f"{'Bearer' if bearer else 'token'} {token}"
        self._tls = _trusting(ca) if parts.scheme == "https" else None
        self._by_proxy = parts.hostname not in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.AsyncClient(
            headers=self._headers,
            timeout=httpx.Timeout(timeout, connect=CONNECT_S),
            verify=self._tls or True,
            trust_env=self._by_proxy,
        )

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
        async with self._sent(method, path, **options) as response:
            answer = await response.aread()
            if not response.is_success and response.status_code not in good:
                raise refused(response.status_code, json_of(answer), response.headers.get("Retry-After"))
        try:
            return msgspec.json.decode(answer, type=type) if answer else msgspec.convert(None, type)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise NotReached(f"what {self.base} answers is nothing of fleet-rlm's: {error}") from error

    async def download(
        self, path: str, to: Path, query: dict[str, Any] | None = None, accept: str | None = None
    ) -> Path:
        """Write what the server sends to a file, which is there whole or not at all.

        Raises:
            NotReached, Refused: as `ask`.
            OSError: the file cannot be written.
        """
        partial = to.with_name(f".{to.name}.partial")
        headers = {"Accept": accept} if accept else {}
        try:
            async with self._sent("GET", path, params=_given(query or {}), headers=headers) as response:
                if not response.is_success:
                    body = json_of(await response.aread())
                    raise refused(response.status_code, body, response.headers.get("Retry-After"))
                with partial.open("wb") as file:
                    async for piece in response.aiter_bytes():
                        file.write(piece)
            partial.replace(to)
        finally:
            partial.unlink(missing_ok=True)
        return to

    @asynccontextmanager
    async def _sent(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """The answer, whose body is still to be read."""
        request = self._http.build_request(method, self.base + path, **options)
        try:
            for pause in (*AGAIN_S, None):
                try:
                    response = await self._http.send(request, stream=True)
                    break
                except httpx.TransportError as error:
                    lost = httpx.NetworkError | httpx.RemoteProtocolError if method == "GET" else httpx.ConnectError
                    if pause is None or _untrusted(error) or not isinstance(error, lost):
                        raise
                await asyncio.sleep(pause)
            try:
                yield response
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if _untrusted(error):
                raise self.not_trusted(error) from error
            what = str(error) or "no answer in time"
            raise NotReached(f"{self.base} does not answer ({error.__class__.__name__}: {what})") from error

    def socket(self, path: str, query: dict[str, Any]) -> connect:
        """A WebSocket below the API, to be opened by `async with`."""
        return connect(
            f"ws{self.base.removeprefix('http')}api/v1/{path}?{urlencode(query)}",
            additional_headers=self._headers,
            max_size=None,
            proxy=True if self._by_proxy else None,
            open_timeout=CONNECT_S,
            ssl=self._tls,
        )

    def not_trusted(self, error: Exception) -> NotTrusted:
        """The error of a certificate that proves nothing."""
        why = _untrusted(error)
        return NotTrusted(
            f"{self.base} shows a certificate that is not trusted ({why.verify_message if why else error}); "
            "name who signs it: ca='company.pem'"
        )


class Resource:
    """A kind of thing that can be asked about over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


def part(name: str) -> str:
    """A name as one part of a path."""
    if name in ("", ".", ".."):
        raise BadAddress(f"{name!r} is the name of nothing; say the id or the name of what is meant")
    return quote(name, safe="")


def _trusting(ca: str | Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise BadAddress(f"{ca} holds no certificate: {error}") from error


def _untrusted(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """The refused certificate behind an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def json_of(content: bytes | bytearray) -> object:
    """What an answer says, None where it is no JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None
