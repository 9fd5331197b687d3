"""HTML: what a reader sees, in the order seen, and nothing a browser would hide."""

from __future__ import annotations

import io
from typing import Any

import pytest

from fleet_rlm.agent.documents.parser.html import parse
from tests.agent.documents.samples import html


def text_of(page: str | bytes) -> tuple[str, dict[str, Any]]:
    out: list[str] = []
    metadata = parse(io.BytesIO(page.encode() if isinstance(page, str) else page), out.append)
    return "".join(out), metadata


def test_headings_links_lists_tables_and_code_are_kept_and_scripts_are_not() -> None:
    assert text_of(html("A heron")) == (
        "## Sightings\n\nA heron, see the list (https://example.org/list).\n\n- one\n- two\n"
        "| bird | n |\n| heron | 3 |\na  b\n  c\n\n",
        {"title": "Birds"},
    )


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a<p>b", "a\n\nb\n\n"),
        ("a<br>b", "a\nb\n\n"),
        ("<b>fish &amp; chips</b> &#233;", "fish & chips é\n\n"),
        ("<td>loose</td>", "loose\n"),
        ("<table><tr><td><p>in</p><p>cell</p><td>a|b</table>", "| in cell | a\\|b |\n"),
        ("<a href='#top'>up</a><a href='javascript:x()'>go</a>", "upgo\n\n"),
        ("<script>if (a < b) {}</script>seen", "seen\n\n"),
        ("<img alt='a map' src=x>", "[image: a map]\n\n"),
        ("no tags  at\n\n all", "no tags at\nall\n\n"),
        ("", ""),
        ("</p></td></table></a></script>x", "x\n\n"),
    ],
)
def test_pages_well_and_badly_written(page: str, text: str) -> None:
    assert text_of(page)[0] == text


def test_the_last_row_is_kept_where_the_page_breaks_off() -> None:
    assert text_of("<table><tr><td>a<td>b")[0] == "| a | b |\n"


@pytest.mark.parametrize(
    "page",
    [
        "<p>é</p>".encode("utf-16"),
        b"<meta charset='latin-1'><p>\xe9</p>",
        b"\xef\xbb\xbf<p>\xc3\xa9</p>",
        b"<meta charset='nonsense'><p>\xc3\xa9</p>",
    ],
)
def test_the_page_says_its_encoding(page: bytes) -> None:
    assert text_of(page)[0] == "é\n\n"
