"""The recursion tree as nested `details`: readable without scripts or styles, bounded in size.

A span for which there is no room is left out with all below it, and the reader is told how many are.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from fleet_rlm.core.report.decisions import ask_line
from fleet_rlm.core.report.facts import answer_text, count, cut, duration
from fleet_rlm.core.report.lines import SIGNS, gist, title
from fleet_rlm.core.report.markup import code_html, esc
from fleet_rlm.core.tree import SpanNode, Tree

NESTING = 60
"""Levels of the tree that are drawn."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much of a tree is told.

    Attributes:
        field: characters of one input, output, code or stream.
        total: characters of the whole outline.
        times: whether durations are told; a text with them differs from run to run.
        pictures: whether images shown by generated code are embedded.
        unfolded: types of spans that are open at first.
        inset: what stands before a span's line for every level down, where no style sheet sets the levels off.
    """

    field: int
    total: int
    times: bool
    pictures: bool
    unfolded: frozenset[str]
    inset: str = ""


def outline_html(tree: Tree, extent: Extent) -> str:
    """The tree from its roots on; long texts are cut shorter before spans are left out."""
    html, left_out = "", 0
    for field in (extent.field, extent.field // 4, extent.field // 16):
        outline = _Outline(tree, replace(extent, field=field))
        html = "".join(part for root in tree.roots for part in outline.span(root, 0))
        left_out = len(tree.spans) - outline.told
        if not left_out:
            return html
    return f"{html}<p>{count(left_out, 'span')} more in the run's log.</p>"


class _Outline:
    def __init__(self, tree: Tree, extent: Extent) -> None:
        self.tree, self.extent = tree, extent
        self.room, self.told = extent.total, 0
        self.answer = answer_text(tree.end.answer if tree.end else None).strip()

    def span(self, span: SpanNode, level: int) -> Iterator[str]:
        if not self.room or level > NESTING:
            return
        part = self.summary(span, level) + "".join(self.sections(span))
        if len(part) > self.room:
            self.room = 0
            return
        self.room -= len(part)
        self.told += 1
        yield part
        for child in self.tree.children(span):
            yield from self.span(child, level + 1)
        yield "</details>"

    def summary(self, span: SpanNode, level: int) -> str:
        name = title(span).removeprefix(span.type)
        timed = self.extent.times and span.end is not None
        took = f" <small>{duration((span.end or 0) - span.start)}</small>" if timed else ""
        unfolded = " open" if span.type in self.extent.unfolded else ""
        about = gist(span, 110)
        about = f" <code>{esc(about)}</code>" if about else ""
        return (
            f'<details class="flt-span flt-{span.type} flt-is-{span.status}"{unfolded}>'
            f"<summary>{self.extent.inset * level}{SIGNS[span.status]} "
            f"<b>{span.type}</b>{esc(name)}{about}{took}</summary>"
        )

    def sections(self, span: SpanNode) -> Iterator[str]:
        model = f" ({span.attrs['model']})" if span.type == "llm" and span.attrs.get("model") else ""
        if span.type != "turn":  # its input is the question, which stands above the outline
            yield self.section(f"input{model}", span.input)
        yield self.section("thought", span.thought)
        for ask in span.asks:
            yield ask_line(ask, self.tree)
        if span.code:
            yield f"<pre><code>{code_html(cut(span.code, self.extent.field))}</code></pre>"
        yield self.section("printed", span.stdout)
        yield self.section("stderr", span.stderr)
        output = span.output or span.text
        if output.strip() not in (span.stdout.strip(), self.answer):  # said already, here or above the outline
            yield self.section("output", output)
        if span.error and span.error not in output:
            yield self.section(span.error_type or "error", span.error)
        for bundle in span.displays:
            yield self.display(bundle)
        for note in span.notes:
            yield f"<p>{esc(note)}</p>"
        for name in span.artifacts:
            kept = self.tree.artifacts[name]
            yield f"<p>kept: {esc(kept.name)} ({kept.bytes:,} bytes, {esc(kept.mime)})</p>"
        if span.usage and self.extent.times:
            yield f"<p><small>{esc(_usage(span))}</small></p>"

    def section(self, label: str, text: str | None) -> str:
        if not text or not text.strip():
            return ""
        return f"<div><small>{esc(label)}</small><pre>{esc(cut(text, self.extent.field))}</pre></div>"

    def display(self, bundle: dict[str, Any]) -> str:
        source = _picture(bundle) if self.extent.pictures else None
        if source is not None and len(source) < self.room:
            return f'<p><img alt="{esc(str(bundle.get("text/plain", "picture")))}" src="{source}"></p>'
        return self.section("display", str(bundle.get("text/plain", f"({', '.join(bundle)})")))


def _picture(bundle: dict[str, Any]) -> str | None:
    """The data address of a picture; as an image even an SVG can run nothing and load nothing."""
    for mime in ("image/png", "image/jpeg", "image/svg+xml"):
        data = bundle.get(mime)
        if isinstance(data, str):
            text = data if mime != "image/svg+xml" else b64encode(data.encode("utf-8", "replace")).decode()
            return f"data:{mime};base64,{esc(''.join(text.split()))}"
    return None


def _usage(span: SpanNode) -> str:
    usage = span.usage
    assert usage is not None
    told = [
        count(usage.llm_calls, "call"),
        f"tokens in {_known(usage.tokens_in)}, out {_known(usage.tokens_out)}",
        f"cost {'unknown' if usage.cost_usd is None else f'${usage.cost_usd:.4f}'}",
    ]
    return " · ".join(told)


def _known(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
