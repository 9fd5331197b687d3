"""Fetching a URL without reaching what is not public.

The check stands where the connection is made: the network half of the HTTP client resolves the name, checks every
address and connects to one it checked, so a name that resolves anew to something else gains nothing. Redirects are
followed by hand through the same door. No proxy, no cookies, no credentials, ports 80 and 443 only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import httpcore

from fleet_rlm.agent.documents.addresses import FetchRefused, Resolver, checked, resolve
from fleet_rlm.agent.documents.errors import DocumentError

PORTS = {"http": 80, "https": 443}
TRIED = 4
"""Addresses of a host that are tried."""


@dataclass(frozen=True)
class FetchLimits:
    """What one fetch may take."""

    bytes: int = 50 << 20  # of the content, unpacked
    seconds: float = 30.0
    redirects: int = 5


@dataclass(frozen=True)
class Fetched:
    """What a URL gave.

    Attributes:
        url: where it was in the end.
        media_type: what the server says it is; may be empty.
        file: the content, open at its beginning.
    """

    url: str
    media_type: str
    file: IO[bytes]


class Fetcher:
    """Fetches from the public Internet, and from hosts that were allowed by name.

    Args:
        allow: hosts, or host:port, whose addresses are not checked.
        limits: of each fetch.
        resolver: tells the addresses of a name.
        network: makes the connections, once the addresses are checked.
    """

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        limits: FetchLimits | None = None,
        resolver: Resolver = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self.allow = frozenset(host.lower() for host in allow)
        self.limits = limits or FetchLimits()
        self.resolver = resolver
        self.network = network or httpcore.AnyIOBackend()

    async def fetch(self, url: str) -> Fetched:
        """The content of an http or https URL.

        Raises:
            FetchRefused: it leads where nothing may be fetched.
            DocumentError: it cannot be had, or is too large.
        """
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._follow(url)
        except TimeoutError:
            raise DocumentError(f"{url} did not answer in full within {self.limits.seconds:g} s") from None

    def target(self, url: str) -> tuple[str, int]:
        """Host and port of a URL that may be asked for.

        Raises:
            FetchRefused: of another scheme or port, or with a password in it.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise DocumentError(f"{url} is no URL ({error})") from None
        if parts.scheme not in PORTS:
            raise FetchRefused(f"{url} is not an http or https URL, and no other is fetched")
        if not host or any(sign.isspace() or ord(sign) < 33 for sign in url):
            raise DocumentError(f"{url!r} is no URL")
        if parts.username is not None or parts.password is not None:
            raise FetchRefused("a URL with a user name or password in it is not fetched: it would stand in the trace")
        port = port or PORTS[parts.scheme]
        if port not in PORTS.values() and not self.allows(host, port):
            raise FetchRefused(f"{url} names port {port}, and only 80 and 443 are connected to")
        return host, port

    def allows(self, host: str, port: int) -> bool:
        """Whether the user allowed this host, whatever its address."""
        return host.lower() in self.allow or f"{host.lower()}:{port}" in self.allow

    async def addresses(self, host: str, port: int) -> list[str]:
        """Addresses that may be connected to. Raises as `fetch`."""
        if self.allows(host, port):
            return list(await self.resolver(host, port))
        return await checked(host, port, self.resolver)

    async def _follow(self, url: str) -> Fetched:
        seen = url
        for _ in range(self.limits.redirects + 1):
            self.target(url)
            async with self._answer(url) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    url = urljoin(url, _header(answer, b"location"))
                    continue
                if answer.status != 200:
                    raise DocumentError(f"{url} answered with status {answer.status}")
                media_type = _header(answer, b"content-type")
                return Fetched(url, media_type, await self._content(url, answer))
        raise DocumentError(f"{seen} redirects more than {self.limits.redirects} times")

    @contextlib.asynccontextmanager
    async def _answer(self, url: str) -> AsyncIterator[httpcore.Response]:
        headers = [
            ("Host", urlsplit(url).netloc),
            ("User-Agent", "fleet-rlm"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "gzip, identity"),
        ]
        context = await asyncio.to_thread(ssl.create_default_context)
        pool = httpcore.AsyncConnectionPool(ssl_context=context, network_backend=_CheckedNetwork(self), retries=0)
        try:
            async with pool, pool.stream("GET", url.partition("#")[0], headers=headers) as answer:
                yield answer
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError) as error:
            raise DocumentError(f"{url} cannot be fetched: {type(error).__name__} {error}".rstrip()) from None
        except UnicodeError:
            raise DocumentError(f"{url} holds signs a URL does not; write them as %XX") from None

    async def _content(self, url: str, answer: httpcore.Response) -> IO[bytes]:
        encoding = _header(answer, b"content-encoding").lower() or "identity"
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise DocumentError(f"{url} is compressed by {encoding}, which was not asked for")
        unpacker = zlib.decompressobj(wbits=31) if encoding != "identity" else None
        file: IO[bytes] = tempfile.TemporaryFile()
        try:
            async for data in answer.aiter_stream():
                left = self.limits.bytes - file.tell() + 1
                try:
                    file.write(unpacker.decompress(data, left) if unpacker else data[:left])
                except zlib.error as error:
                    raise DocumentError(f"{url} sent content that cannot be unpacked ({error})") from None
                if file.tell() > self.limits.bytes:
                    raise DocumentError(f"{url} is larger than the {self.limits.bytes:,} bytes that are fetched")
            if unpacker is not None and not unpacker.eof:
                raise DocumentError(f"{url} broke off in the middle of its content")
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else; TLS and Host go on using the name."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.fetcher = fetcher
        self.inner = fetcher.network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception | None = None
        for address in (await self.fetcher.addresses(host, port))[:TRIED]:
            try:
                return await self.inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise FetchRefused("unix sockets are not fetched from")

    async def sleep(self, seconds: float) -> None:
        await self.inner.sleep(seconds)


def _header(answer: httpcore.Response, name: bytes) -> str:
    for key, value in answer.headers:
        if key.lower() == name:
            return str(value.decode("latin-1")).strip()
    return ""
