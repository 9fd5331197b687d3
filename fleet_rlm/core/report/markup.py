"""Text of a model or a user as HTML that cannot do anything: escaped, or Markdown without HTML, images or scripts."""

from __future__ import annotations

import functools
import html
import keyword
import re
from typing import Any

from fleet_rlm.core.report.facts import answer_text, printable


def esc(text: str) -> str:
    """The text as HTML text or attribute value."""
    return html.escape(printable(text))


def answer_html(answer: Any) -> str:
    """The answer: strings as Markdown (tables included), other values as JSON in a `pre`."""
    if isinstance(answer, str):
        return str(_markdown().render(printable(answer)))
    return f"<pre><code>{esc(answer_text(answer))}</code></pre>"


@functools.cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt  # 30 ms: only who shows an answer pays for it

    # Raw HTML stays text; images would let an answer load an address, and so tell a stranger that it was read. A line
    # break stays one: models write lists of short lines, and the live view shows them so.
    return MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True}).enable("table").disable("image")


_PYTHON = re.compile(
    r"(?P<s>[rbfRBF]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'))"
    r"|(?P<c>\#[^\n]*)"
    rf"|(?P<k>\b(?:{'|'.join(keyword.kwlist)})\b)"
    r"|(?P<n>\b\d[\d_.]*\b)",
    re.DOTALL,
)


def code_html(code: str) -> str:
    """Python source with strings, comments, keywords and numbers marked by the classes flt-s, -c, -k and -n."""
    code, parts, at = printable(code), [], 0
    for match in _PYTHON.finditer(code):
        parts.append(html.escape(code[at : match.start()]))
        parts.append(f'<span class="flt-{match.lastgroup}">{html.escape(match.group())}</span>')
        at = match.end()
    return "".join([*parts, html.escape(code[at:])])
