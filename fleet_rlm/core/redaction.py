"""Secrets leave an event before anybody sees it.

Known values first (those of environment variables whose name says secret), then shapes that only credentials have.
Also makes every text encodable: lone surrogates, which no JSON or UTF-8 sink accepts, become U+FFFD.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fleet_rlm.core.events import Event, encode

REDACTED = "[redacted]"

SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|DATABASE_URL", re.IGNORECASE)
"""Names of environment variables whose values are secrets."""
_SHORTEST = 8
"""Shorter values (a "1", a "true") would be cut out of ordinary text."""

_SHAPES = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,200}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,200}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,200}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,1000}"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
)
_SHAPES_BEGIN = (rb"sk-", rb"gh[pousr]_", rb"xox[abprs]-", rb"AKIA", rb"eyJ", rb"PRIVATE KEY-")
"""What every text that holds one of these shapes holds, in a line of JSON too, where an escape may stand before it."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def encodable(value: Any) -> Any:
    """The value with every lone surrogate in its texts replaced by U+FFFD; no JSON or UTF-8 sink accepts them."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {key: encodable(item) for key, item in value.items()}
    return [encodable(item) for item in value] if isinstance(value, list) else value


class Redactor:
    """Replaces secrets in texts and events.

    Args:
        secrets: further values that must not appear, such as a key passed to a model.
        environ: where secrets are looked up; the process's environment by default.
    """

    def __init__(self, secrets: Iterable[str] = (), environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        values = {value for name, value in environ.items() if SECRET_NAME.search(name)} | set(secrets)
        known = sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        written = [re.escape(msgspec.json.encode(encodable(value))[1:-1]) for value in known]
        self._suspect = re.compile(b"|".join([*_SHAPES_BEGIN, *written]))

    def text(self, text: str) -> str:
        """The text without secrets and lone surrogates."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        return encodable(_SHAPES.sub(REDACTED, text))  # type: ignore[no-any-return]

    def value(self, value: Any) -> Any:
        """The same value with every text inside cleaned."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        if isinstance(value, msgspec.Struct):
            return msgspec.structs.replace(
                value, **{name: self.value(getattr(value, name)) for name in value.__struct_fields__}
            )
        return value

    def clean(self, event: Event) -> Event:
        """A copy of the event that is safe to show."""
        # Nearly every event is clean, and one look at its line tells; walking its fields takes six times as long.
        try:
            suspect = self._suspect.search(encode(event)) is not None
        except UnicodeEncodeError:  # a lone surrogate
            suspect = True
        return self.value(event) if suspect else msgspec.structs.replace(event)
