"""Exactly what was sent to the models of a run, call by call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet_rlm.core.tree import SpanNode, Tree


def sent_text(tree: Tree) -> str:
    """The prompt of every model call in order, in full, each below a heading that says which call it is."""
    calls = [span for span in tree.spans.values() if span.type == "llm"]
    if not calls:
        return "no model call has been made"
    total = 0
    parts = []
    for number, span in enumerate(calls, 1):
        text = whole_input(span, tree)
        total += len(text)
        parts.append(f"━━ call {number} of {len(calls)} · {span.id} {span.name} · {len(text):,} characters ━━\n{text}")
    return "\n\n".join([*parts, f"{len(calls)} calls, {total:,} characters sent"])


def whole_input(span: SpanNode, tree: Tree) -> str:
    """What a span was given, read from its artifact where the log holds a preview only.

    Raises:
        OSError: the artifact file cannot be read any more.
    """
    if (kept := tree.artifacts.get(span.attrs.get("input_artifact", ""))) is not None:
        return Path(kept.path).read_bytes().decode("utf-8", "surrogatepass")
    return span.input or ""
