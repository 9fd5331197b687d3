"""What a parser is, and how it says that it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

Write = Callable[[str], object]
Parser = Callable[[BinaryIO, Write], dict[str, Any]]


class CannotRead(Exception):
    """The file cannot be read; the message completes the sentence that begins with its name."""
