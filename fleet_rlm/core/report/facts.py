"""The facts of a run as short texts: what was asked, who answered, what it cost, what protected the user.

A figure that is not known is said to be "unknown"; it is never shown as 0.
"""

from __future__ import annotations

import json
import re
from typing import Any

from fleet_rlm.core.events import Usage
from fleet_rlm.core.tree import Tree

OFFLINE = "rule-based stand-in, not a language model"

STATUS = {
    "running": "running",
    "ok": "answered",
    "exhausted": "budget used up",
    "stopped": "stopped",
    "failed": "failed",
}

_CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def printable(text: str) -> str:
    """The text in characters that any UTF-8 file or terminal takes: no colour codes, controls or lone surrogates."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").translate(_CONTROL)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut(text: str, limit: int) -> str:
    """The first and last part of a text of more than `limit` characters, with a note on what is left out."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n[… {len(text) - head - tail:,} characters left out …]\n{text[-tail:]}"


def one_line(text: str, limit: int) -> str:
    """The text on one line of at most `limit` characters."""
    line = printable(" ".join(text[: 8 * limit].split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def answer_text(answer: Any) -> str:
    """The answer as text: strings as they are, other values as indented JSON, nothing as ""."""
    if answer is None:
        return ""
    return answer if isinstance(answer, str) else json.dumps(answer, indent=2, ensure_ascii=False, default=repr)


def models(tree: Tree) -> str:
    """Who answered: "model" or "model, sub-queries by other model"."""
    head = tree.start
    if head is None:
        return "unknown"
    other = f", sub-queries by {head.sub_model}" if head.sub_model and head.sub_model != head.model else ""
    return head.model + other


def duration(microseconds: int) -> str:
    """A length of time in a unit that suits it."""
    seconds = microseconds / 1e6
    if seconds < 1:
        return f"{microseconds / 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def elapsed(tree: Tree) -> str:
    """From the first to the last event that bears a time."""
    times = [event.ts for event in (tree.start, tree.end) if event is not None]
    times += [time for span in list(tree.spans.values()) for time in (span.start, span.end) if time is not None]
    return duration(max(times) - min(times)) if times else "unknown"


def count(number: int, noun: str) -> str:
    """ "1 span", "2 spans", "2 sub-queries"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def isolation(tree: Tree) -> str:
    """One sentence on what protected the user from generated code."""
    box = tree.sandbox
    if box is None:
        return "No generated code ran."
    kept = "; ".join(f"{name}: {mechanism}" for name, mechanism in box.guarantees.items()) or "no guarantee"
    lacking = f" Missing: {', '.join(box.missing)}." if box.missing else ""
    return f"Generated code runs in a {box.backend} sandbox, tier {box.tier} ({kept}).{lacking}"


def spent(tree: Tree, *, times: bool = True) -> list[tuple[str, str]]:
    """(what, "spent of limit") for each kind of spending; without the time if `times` is False."""
    limits, usage = tree.limits, tree.usage
    called = usage.llm_calls > 0
    children = tree.budget.spent.children if tree.budget else None
    rows = [
        ("model calls", _of(f"{usage.llm_calls:,}", limits.calls)),
        ("tokens", _tokens(usage, limits.tokens)),
        ("cost", _of(_cost(usage.cost_usd) if called else "none", limits.usd, "${:g}")),
        ("children", _of(_known(children if children is not None else 0), limits.children)),
    ]
    if times:
        rows.append(("time", _of(elapsed(tree), limits.seconds, "{:g} s")))
    return rows


def spent_sentence(tree: Tree) -> str:
    """What the run spent on one line, time left out, so that it is the same when nothing else changed."""
    return " · ".join(f"{what}: {figure}" for what, figure in spent(tree, times=False))


def sent(tree: Tree) -> int:
    """Characters of all prompts, whole ones counted even where the log keeps a preview of them."""
    calls = (span for span in list(tree.spans.values()) if span.type == "llm")
    return sum(span.attrs.get("input_chars", len(span.input or "")) for span in calls)


def _tokens(usage: Usage, limit: int | None) -> str:
    if not usage.llm_calls:
        return _of("none", limit)
    if usage.tokens_in is None or usage.tokens_out is None:
        return _of("unknown", limit)
    cached = f", {usage.tokens_cached:,} cached" if usage.tokens_cached else ""
    figure = _of(f"{usage.tokens_in + usage.tokens_out:,}", limit)
    return f"{figure} ({usage.tokens_in:,} in, {usage.tokens_out:,} out{cached})"


def _known(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _cost(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:.4f}"


def _of(figure: str, limit: float | None, form: str = "{:,}") -> str:
    return figure if limit is None else f"{figure} of {form.format(limit)}"
