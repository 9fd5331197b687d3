"""A file is saved under its own name, whatever is in it, and no name becomes a header."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from tornado.httputil import HTTPHeaders

from fleet_rlm.server.sending import disposition

NAMES = [
    "report.md",
    "Größe 日本.csv",
    'a"b; filename=evil.html',
    "a\r\nSet-Cookie: x=1\r\n\r\n<script>",
    "a\0b\x7f",
    "../../etc/passwd",
    "*'%\\",
    "x" * 255,
    ".",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_told_in_letters_that_are_safe_and_in_its_own(name: str) -> None:
    told = disposition(name)
    parts = re.fullmatch(r"attachment; filename=\"([A-Za-z0-9._-]{1,100})\"; filename\*=UTF-8''([\w.~%-]+)", told, re.A)
    assert parts is not None
    assert unquote(parts[2], errors="strict") == name
    headers = HTTPHeaders()
    headers.add("Content-Disposition", told)
    assert len(list(headers.get_all())) == 1


def test_names_that_are_none_still_save_a_file() -> None:
    assert disposition("") == "attachment; filename=\"file\"; filename*=UTF-8''file"
    assert disposition("a\ud800") == "attachment; filename=\"a_\"; filename*=UTF-8''a%3F"
