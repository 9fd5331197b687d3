"""Where a server of ours is going to be, looked at before it tries: Jupyter would fail somewhere inside, with a
traceback, or serve below a path to which no address leads.
"""

from __future__ import annotations

import re
import socket

from fleet_rlm.core.errors import UserError

MOST_PORT = 65_535

_PART = re.compile(r"[A-Za-z0-9._~@+-]+")
"""Of a base URL, so that it is the same as an address and as a pattern of routes."""


def check_address(host: str, port: int, base_url: str) -> None:
    """Let host, port and base URL be such that a server can be there; whether the port is free, it finds out itself.

    Raises:
        UserError: they are not; the message says which, and what it may be.
    """
    if not 0 <= port <= MOST_PORT:
        raise UserError(f"--port is a number from 0, which takes a free one, to {MOST_PORT}, and not {port}")
    fault = _fault(host)
    if fault is not None:
        raise UserError(f"--host {host} is no name or address of this machine ({fault})")
    parts = [part for part in base_url.split("/") if part]
    if not all(_PART.fullmatch(part) for part in parts) or {".", ".."} & {*parts}:
        raise UserError(f"--base-url is a path such as /team, and not {base_url}")


def _fault(host: str) -> str | None:
    """Why nothing can listen there; None where it can, at one of the addresses that the name has."""
    fault = None
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or "it is none of any"
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
            return None
        except OSError as error:
            fault = error.strerror
    return fault
