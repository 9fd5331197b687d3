"""Sending a file so that a browser saves it and never shows it: what a run made may be a page with scripts."""

from __future__ import annotations

import asyncio
import re
from typing import BinaryIO
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from fleet_rlm.server.base import Handler

CHUNK = 256 << 10
OCTETS = "application/octet-stream"
_MIME = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}")


async def send_file(handler: Handler, file: BinaryIO, name: str, mime: str) -> None:
    """Answer with a file and close it; nothing of it is kept in memory, or in the browser's cache."""
    kind = mime if _MIME.fullmatch(mime) else OCTETS
    handler.set_header("Content-Type", kind)
    handler.set_header("Content-Disposition", disposition(name))
    handler.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
    handler.set_header("X-Content-Type-Options", "nosniff")
    handler.set_header("Cache-Control", "private, no-store")
    handler.set_header("Accept-Ranges", "none")
    try:
        while piece := await asyncio.to_thread(file.read, CHUNK):
            handler.write(piece)
            await handler.flush()
    except StreamClosedError:  # the client has had enough
        return
    finally:
        file.close()
    handler.finish(set_content_type=kind)


def disposition(name: str) -> str:
    """A Content-Disposition that saves under this name, whatever is in it (RFC 6266, and RFC 5987 for its letters)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100] or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name or plain, safe='', errors='replace')}"
