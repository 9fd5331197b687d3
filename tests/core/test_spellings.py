"""A known secret is found however it is written."""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_rlm.core.redaction import REDACTED, Redactor

WAYS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "json as utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "repr": lambda text: repr(text)[1:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "repr in json": lambda text: json.dumps(repr(text)[1:-1])[1:-1],
    "url": lambda text: urllib.parse.quote(text, safe=""),
    "url path": urllib.parse.quote,
    "url in lower case": lambda text: (
        "".join(f"%{byte:02x}" if byte < 48 else chr(byte) for byte in text.encode())
        if text.isascii()
        else urllib.parse.quote(text)
    ),
    "form": urllib.parse.quote_plus,
    "html": html.escape,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64, one before": lambda text: base64.b64encode(b":" + text.encode() + b"\n").decode(),
    "base64, two before": lambda text: base64.b64encode(b"u:" + text.encode()).decode(),
    "base64 in a url": lambda text: urllib.parse.quote(base64.b64encode(text.encode()).decode(), safe=""),
    "hex": lambda text: text.encode().hex(),
    "upper-case hex": lambda text: text.encode().hex().upper(),
}
SECRETS = [
    "no-special-shape-1234",
    "p@ss/w?rd+&=#%",
    "quo\"ted\\back'tick`$",
    "two words\nand a line",
    "geheimnis-äöü-€-\U0001f511",
    "<tag>&amp;",
    "\t\x01control\x7f!",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found(secret: str, way: str) -> None:
    redactor = Redactor([secret], environ={})
    clean = redactor.text(f"it is <{WAYS[way](secret.strip())}>!")
    neighbours = "[A-Za-z0-9=]{0,4}" if "before" in way else ""
    assert re.fullmatch(f"it is <{neighbours}{re.escape(REDACTED)}{neighbours}>!", clean)


@given(
    some.text(some.characters(exclude_categories=["Cs"]), min_size=8, max_size=30),
    some.sampled_from(sorted(WAYS)),
    some.text(max_size=20),
    some.text(max_size=20),
)
def test_no_way_of_writing_any_secret_comes_out(secret: str, way: str, before: str, after: str) -> None:
    secret = secret.strip()
    if len(secret) < 8 or secret in REDACTED:
        return
    written = WAYS[way](secret)
    if "before" in way:  # the outermost letters are those of its neighbours too
        written = written[2:-3]
    assert written not in Redactor([secret], environ={}).text(before + WAYS[way](secret) + after)


def test_base64_is_hidden_to_the_last_bit() -> None:
    for lead in range(3):
        data = base64.b64encode(b"-" * lead + b"hunter2!").decode()
        clean = Redactor(["hunter2!"], environ={}).text(data)
        assert clean in (REDACTED, "L" + REDACTED, "LS" + REDACTED)
