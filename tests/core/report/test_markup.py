"""Answers are Markdown that cannot do anything; code is escaped and coloured."""

from __future__ import annotations

import html
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from fleet_rlm.core.report.facts import printable
from fleet_rlm.core.report.markup import answer_html, code_html


def test_an_answer_is_markdown_with_tables() -> None:
    shown = answer_html("**a** `b`\n\n- c\n\n| d |\n|---|\n| e |\n")

    assert "<strong>a</strong>" in shown
    assert "<code>b</code>" in shown
    assert "<li>c</li>" in shown
    assert "<td>e</td>" in shown


def test_the_lines_of_an_answer_stay_lines() -> None:
    assert "<li>cgi.py: 3.13<br />\ncgi.py:57</li>" in answer_html("- cgi.py: 3.13\n    cgi.py:57")


def test_html_of_an_answer_stays_text() -> None:
    assert "<b>" not in answer_html("<b>bold</b>")


def test_dangerous_addresses_and_pictures_of_an_answer_are_not_followed() -> None:
    shown = answer_html("[x](javascript:alert(1)) ![y](https://else.where/y.png)")

    assert "href" not in shown.replace('href="https', "")
    assert "<img" not in shown


def test_an_answer_that_is_not_text_is_json() -> None:
    assert json.loads(html.unescape(re.sub(r"<[^>]+>", "", answer_html({"n": [1, None]})))) == {"n": [1, None]}


@given(st.text())
def test_code_loses_no_character_and_gains_no_markup(code: str) -> None:
    shown = code_html(code)
    bare = re.sub(r'<span class="flt-[sckn]">|</span>', "", shown)

    assert "<" not in bare
    assert html.unescape(bare) == printable(code)


def test_strings_comments_keywords_and_numbers_are_marked() -> None:
    shown = code_html("for x in f('a # b'):  # c\n    y = 12")

    assert '<span class="flt-k">for</span>' in shown
    assert '<span class="flt-s">&#x27;a # b&#x27;</span>' in shown
    assert '<span class="flt-c"># c</span>' in shown
    assert '<span class="flt-n">12</span>' in shown
