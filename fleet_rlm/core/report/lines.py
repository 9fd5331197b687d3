"""A run in plain lines: one per span, for terminals, logs and the text/plain of a saved notebook."""

from __future__ import annotations

from fleet_rlm.core.report import facts
from fleet_rlm.core.tree import SpanNode, Tree

SIGNS = {"running": "○", "ok": "✓", "error": "✗", "stopped": "■", "exhausted": "◌"}

WIDTH = 110
"""Characters of a span's line without its indent."""


def span_line(span: SpanNode, *, times: bool = True) -> str:
    """One line on a span: sign of its status, type, name, what it does or did, how long it took."""
    head = f"{SIGNS[span.status]} {title(span)}"
    tail = f"  {facts.duration(span.end - span.start)}" if times and span.end is not None else ""
    room = WIDTH - min(len(head), WIDTH // 2) - len(tail)
    return facts.one_line(f"{facts.one_line(head, WIDTH // 2)} {gist(span, max(room, 20))}", WIDTH - len(tail)) + tail


def title(span: SpanNode) -> str:
    """Type and name of a span, without saying the same twice."""
    return span.name if span.name.split(" ")[0] == span.type else f"{span.type} {span.name}"


def gist(span: SpanNode, limit: int) -> str:
    """What a span is about, in at most about `limit` characters; may be empty."""
    if span.status == "error" and span.error:
        last = span.error.strip().splitlines()[-1]
        named = last if last.startswith(f"{span.error_type}:") else f"{span.error_type or 'error'}: {last}"
        return facts.one_line(named, limit)
    match span.type:
        case "code":
            asked, got = _code_line(span.code or ""), _last_line(span.stdout or span.output or "")
        case "llm":
            asked, got = _tokens(span), _reply_line(span.thought or span.text or span.output or "")
        case "turn" | "iteration" | "step":
            asked, got = "", ""
        case _:
            asked, got = span.input or "", _first_line(span.output or "")
    half = limit // 2 if asked and got else limit
    asked, got = facts.one_line(asked, half), facts.one_line(got, half)
    return f"{asked} → {got}" if asked and got else asked or got


def plain_lines(tree: Tree, *, times: bool = True) -> list[str]:
    """Every span of the tree, indented by its level."""
    return ["  " * level + span_line(span, times=times) for level, span in tree.walk()]


def plain_text(tree: Tree) -> str:
    """Task, status, answer and counts; the same text whenever the same things happened, however long they took."""
    head = tree.start
    stand_in = f" ({facts.OFFLINE})" if head and head.offline else ""
    rows = [
        f"fleet · {facts.STATUS[tree.status]} · {facts.models(tree)}{stand_in}",
        f"question: {facts.one_line(head.task if head else '', 300)}",
        "",
        facts.answer_text(tree.end.answer if tree.end else None) or "(no answer)",
    ]
    if tree.end and tree.end.error:
        rows += ["", f"{tree.end.error_type or 'error'}: {tree.end.error}"]
    rows += ["", f"{facts.count(len(tree.spans), 'span')} · {facts.spent_sentence(tree)}"]
    return facts.printable("\n".join(rows))


_TELLS_LITTLE = (" ", "\t", "#", "@", ")", "]", "}", "import ", "from ", "def ", "class ", "async def ", '"""')
"""How lines of a cell begin that do not say what it is for."""


def _code_line(code: str) -> str:
    lines = [line for line in code.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_TELLS_LITTLE)]
    more = f" (+{len(lines) - 1} lines)" if len(lines) > 1 else ""
    return f"{(telling or lines or [''])[0].strip()}{more}"


def _tokens(span: SpanNode) -> str:
    usage = span.usage
    if usage is None or usage.tokens_in is None or usage.tokens_out is None:
        return ""
    return f"{usage.tokens_in:,}+{usage.tokens_out:,} tokens"


def _reply_line(text: str) -> str:
    """The first line of a reply that is not the name of a field (dspy writes them as `[[ ## code ## ]]`)."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("[[ ## "))
    return next(lines, "")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
