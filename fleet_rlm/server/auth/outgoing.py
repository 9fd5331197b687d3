"""HTTP to the issuer: no redirects, and the machine's certificates read once and off the loop."""

from __future__ import annotations

import asyncio
import functools
import ssl

import httpx


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


async def client(timeout_s: float) -> httpx.AsyncClient:
    """A client to be used in `async with`; reading the certificates would hold up every request for some 20 ms."""
    return httpx.AsyncClient(timeout=timeout_s, verify=await asyncio.to_thread(_tls), follow_redirects=False)
