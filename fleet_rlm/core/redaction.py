"""Secrets leave an event before anybody sees it.

What is known to be secret goes first, however it is written; then what credentials look like; in dicts, what is held
under the name of a secret. All patterns are RE2's, so no text takes longer than its length. Also makes every text
encodable: lone surrogates, which no JSON or UTF-8 sink accepts, become U+FFFD.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fleet_rlm.core.credentials import SUSPECT, UNFINISHED, holds_secret, is_secret_name, linear, redacted
from fleet_rlm.core.events import BudgetChange, Delta, Event, SpanEnd, encode
from fleet_rlm.core.spellings import spellings

REDACTED = "[redacted]"

SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|DATABASE_URL|CONNECTION_STRING|COOKIE|AUTHORIZATION",
    re.IGNORECASE,
)
"""Names of environment variables whose values are secrets."""
_SHORTEST = 8
"""Shorter values (a "1", a "true") would be cut out of ordinary text."""
_LONGEST = 1024
"""Longer values are looked for in pieces of this length."""
_HELD_BACK = 4096
"""Characters of an unfinished token that wait for what follows in a stream, at most."""
_ROUNDS = 8
"""How often a text is looked at again while marks complete what looks like a secret; two are enough for real ones."""
_MARK = REDACTED.encode()
_PASSWORD = re.compile(r"://[^\s:/@]*:([^\s@/]+)@")
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
        environ: where secrets are looked up, once; the process's environment by default.
    """

    def __init__(self, secrets: Iterable[str] = (), environ: Mapping[str, str] | None = None) -> None:
        self._known = _known({*secrets, *_secrets_of(os.environ if environ is None else environ)})
        self._last = frozenset(letter for value in self._known for letter in value[:-1])
        self._waiting: dict[tuple[str | None, str], str] = {}

    def renewed(self) -> Redactor:
        """One that knows the same secrets, and those that are in the environment by now."""
        return Redactor(self._known)

    def text(self, text: str) -> str:
        """The text without secrets and lone surrogates."""
        suspect, known = _patterns(self._known)
        text = encodable(text)
        data = text.encode()
        if suspect.search(data) is None:
            return text
        for _ in range(_ROUNDS):
            before = data
            data = redacted(known.sub(_MARK, data) if known else data, _MARK)
            if data == before:
                return data.decode()
        return REDACTED

    def value(self, value: Any) -> Any:
        """The same value with every text inside cleaned, and nothing left under names of secrets in dicts."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, dict):
            return {self.value(key): self._held(key, item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        if isinstance(value, msgspec.Struct):
            return msgspec.structs.replace(
                value, **{name: self.value(getattr(value, name)) for name in value.__struct_fields__}
            )
        written = msgspec.to_builtins(value, enc_hook=repr)  # as it will be in the log
        clean = self.value(written)
        return value if clean == written else clean

    def _held(self, key: Any, item: Any) -> Any:
        if isinstance(key, str) and (is_secret_name(key) or (isinstance(item, str) and holds_secret(key, item))):
            return self._hidden(item, numbers="token" not in key.lower())
        return self.value(item)

    def _hidden(self, item: Any, numbers: bool) -> Any:
        if isinstance(item, dict):
            return {self.value(key): self._hidden(inner, numbers) for key, inner in item.items()}
        if isinstance(item, (list, tuple)):
            return [self._hidden(inner, numbers) for inner in item]
        if item in (None, "") or isinstance(item, bool) or (isinstance(item, (int, float)) and not numbers):
            return item
        return REDACTED

    def clean(self, event: Event) -> Event:
        """A copy of the event that is safe to show; of a stream, see `written`."""
        return self.written(msgspec.structs.replace(event))[0]

    def written(self, event: Event) -> tuple[Event, bytes]:
        """The event, or a copy that is safe to show, and the line it is written as.

        Of a stream (stdout, stderr), an end that may be the beginning of a secret waits for what follows. What still
        waits when the span ends is left out of the stream; the span's output has it.
        """
        if isinstance(event, Delta) and event.channel in ("stdout", "stderr"):
            event = msgspec.structs.replace(event, text=self._streamed((event.span, event.channel), event.text))
            return event, encode(event)
        if isinstance(event, SpanEnd) and self._waiting:
            for channel in ("stdout", "stderr"):
                self._waiting.pop((event.span, channel), None)
        # Nearly every event is clean, and one look at its line tells; walking its fields takes many times as long.
        try:
            line = encode(event)
            if isinstance(event, BudgetChange) or _patterns(self._known)[0].search(line) is None:  # that holds numbers
                return event, line
        except UnicodeEncodeError:  # a lone surrogate
            pass
        event = msgspec.structs.replace(self.value(event), run=event.run)
        return event, encode(event)

    def _streamed(self, stream: tuple[str | None, str], text: str) -> str:
        text = self._waiting.pop(stream, "") + encodable(text)
        begun = _unfinished().search(text[-_HELD_BACK:].encode())
        token = "" if begun is None else begun.group().decode()
        clean = self.text(text.removesuffix(token))
        secret = self._beginning(clean)
        if waiting := secret + token:
            self._waiting[stream] = waiting
        return clean.removesuffix(secret)

    def _beginning(self, text: str) -> str:
        """The longest end of the text that a known secret begins with."""
        if not text or text[-1] not in self._last:
            return ""
        for size in range(min(len(text), len(self._known[0]) - 1), 0, -1):
            end = text[-size:]
            if any(value.startswith(end) and len(value) > size for value in self._known):
                return end
        return ""


def _secrets_of(environ: Mapping[str, str]) -> Iterable[str]:
    for name, value in environ.items():
        if SECRET_NAME.search(name):
            yield value
        for password in _PASSWORD.findall(value):
            yield urllib.parse.unquote(password)


def _known(secrets: Iterable[str]) -> tuple[str, ...]:
    """What to look for, the longest first; not what the mark itself is made of."""
    pieces = (piece for secret in secrets for piece in _pieces(encodable(secret).strip()))
    return tuple(sorted({one for one in pieces if one not in REDACTED * 3}, key=lambda one: (-len(one), one)))


def _pieces(secret: str) -> Iterable[str]:
    starts = range(0, max(len(secret) - _SHORTEST, 0) + 1, _LONGEST)
    cuts = [*starts, len(secret)]
    return [secret[a:b] for a, b in itertools.pairwise(cuts) if b - a >= _SHORTEST]


@functools.lru_cache(maxsize=8)
def _patterns(known: tuple[str, ...]) -> tuple[Any, Any | None]:
    """What a suspicious line holds, and what the known secrets look like."""
    spelt = [spellings(value) for value in known]
    suspect = linear(b"|".join([SUSPECT, *spelt]), capture=False)
    return suspect, linear(b"|".join(spelt), capture=False) if spelt else None


@functools.cache
def _unfinished() -> Any:
    return linear(UNFINISHED, capture=False)
