"""Fetching a URL without reaching what is not public."""

from __future__ import annotations

from collections.abc import Sequence


class Fetcher:
    """Fetches documents of the public web.

    Args:
        allow: hosts that may be private; none by default.
    """

    def __init__(self, *, allow: Sequence[str] = ()) -> None:
        self.allow = frozenset(host.lower() for host in allow)
