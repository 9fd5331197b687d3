"""Every way a known secret may be written: plain, escaped, in a URL, in HTML, as hex, inside base64.

One pattern per secret, read letter by letter, because escapes nest: a line of JSON may quote a repr that quotes a URL.
"""

from __future__ import annotations

import base64
import html
import re

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_SHORT_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f", "\v": "v", "\a": "a", "\0": "0"}


def spellings(secret: str) -> bytes:
    """A pattern for RE2 over Latin-1 that finds the secret however it is written; the secret is encodable."""
    data = secret.encode()
    within = (_inside_base64(data, lead) for lead in range(3))
    return b"|".join([b"".join(map(_letter, secret)), b"(?i:%s)" % data.hex().encode(), *within])


def _letter(letter: str) -> bytes:
    data = letter.encode()
    if data[0] in _PLAIN:
        return data
    ways = [re.escape(data), _ignoring_case("".join(f"%{byte:02x}" for byte in data))]
    if letter == "\\":
        ways[0] = rb"\\+"  # doubled at every level of quoting
    elif letter in "\"'`/$":
        ways[0] = rb"\\*" + ways[0]
    if letter == " ":
        ways.append(rb"\+")
    if letter in _SHORT_ESCAPES:
        ways.append(rb"\\+" + _SHORT_ESCAPES[letter].encode())
    if (named := html.escape(letter)) != letter:
        ways += [re.escape(named.encode()), _ignoring_case(f"&#0*{ord(letter)};"), _ignoring_case("&#39;")]
    units = letter.encode("utf-16-be").hex()
    ways.append(b"".join(rb"\\+" + _ignoring_case(f"u{units[at : at + 4]}") for at in range(0, len(units), 4)))
    ways.append(rb"\\+" + _ignoring_case(f"x{ord(letter):02x}" if ord(letter) < 256 else f"u{ord(letter):08x}"))
    return b"(?:%s)" % b"|".join(reversed(ways))  # the plain letter last: others begin with it


def _ignoring_case(ascii_text: str) -> bytes:
    return b"(?i:%s)" % ascii_text.encode()


def _inside_base64(data: bytes, lead: int) -> bytes:
    """What the data looks like in base64 when `lead` other bytes stand before it, modulo three.

    The letters that also hold bits of its neighbours can be any.
    """
    whole = base64.b64encode(b"\0" * lead + data).rstrip(b"=")
    first = -(-8 * lead // 6)  # letters before it are, at least in part, the neighbour's
    last, shared = divmod(8 * (lead + len(data)), 6)
    any_letter = rb"(?:[A-Za-z0-9+/_-]|%2[BbFf])?"
    either = {ord("+"): rb"(?:[+-]|%2[Bb])", ord("/"): rb"(?:\\*/|_|%2[Ff])"}
    core = b"".join(either.get(letter, bytes([letter])) for letter in whole[first:last])
    after = any_letter if shared else b""
    return b"".join([any_letter if lead else b"", core, after, rb"(?:=|%3[Dd]){0,2}"])
