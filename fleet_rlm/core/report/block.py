"""The part of a run that stays in a saved notebook, in three forms: HTML, Markdown and plain text.

It needs no kernel, no style sheet and no script, so it reads the same in JupyterLab, nbconvert and on code hosts that
remove styles. It tells no times: run again with the same outcome, the saved notebook does not change.
"""

from __future__ import annotations

from fleet_rlm.core.report import facts
from fleet_rlm.core.report.lines import plain_lines, plain_text
from fleet_rlm.core.report.markup import answer_html, esc
from fleet_rlm.core.report.outline import Extent, outline_html
from fleet_rlm.core.tree import Tree

LIMIT = 120_000
"""Characters of the whole block."""

_UNFOLDED = frozenset({"turn", "step", "tool", "rlm"})
_OUTLINE = Extent(field=2_000, total=60_000, times=False, pictures=False, unfolded=_UNFOLDED, inset="&emsp;")
_ANSWER = 40_000


def mimebundle(tree: Tree) -> dict[str, str]:
    """The block as text/html, text/markdown and text/plain."""
    return {
        "text/html": _html(tree),
        "text/markdown": _markdown(tree),
        "text/plain": facts.cut(plain_text(tree), _ANSWER),
    }


def _head(tree: Tree) -> list[str]:
    head = tree.start
    told = [facts.STATUS[tree.status], facts.models(tree)]
    return [*told, facts.OFFLINE] if head and head.offline else told


def _html(tree: Tree) -> str:
    parts = [
        '<div class="flt-static">',
        f"<p><b>fleet</b> · {' · '.join(esc(word) for word in _head(tree))}</p>",
        _answer(tree),
    ]
    if tree.end and tree.end.error:
        parts.append(f"<p><b>{esc(tree.end.error_type or 'error')}</b>: {esc(facts.cut(tree.end.error, 2_000))}</p>")
    parts += [
        f"<p><small>{esc(facts.spent_sentence(tree))}<br>{esc(facts.isolation(tree))}</small></p>",
        f"<details><summary>how it was found: {facts.count(len(tree.spans), 'span')}</summary>",
        outline_html(tree, _OUTLINE),
        "</details></div>",
    ]
    return "".join(parts)


def _answer(tree: Tree) -> str:
    answer = tree.end.answer if tree.end else None
    if answer is None:
        return "<p><i>no answer</i></p>"
    html = answer_html(answer)
    # Cut Markdown could end inside a table or a fence, so what is too long is shown as plain text.
    return html if len(html) <= _ANSWER else f"<pre>{esc(facts.cut(facts.answer_text(answer), _ANSWER // 6))}</pre>"


def _markdown(tree: Tree) -> str:
    answer = facts.cut(facts.answer_text(tree.end.answer if tree.end else None), _ANSWER) or "*no answer*"
    error = (
        [f"**{tree.end.error_type or 'error'}**: {facts.cut(tree.end.error, 2_000)}"]
        if tree.end and tree.end.error
        else []
    )
    outline = facts.cut("\n".join(plain_lines(tree, times=False)), _ANSWER)
    fence = "~" * 12  # longer than any fence a line of code is likely to hold
    parts = [
        f"**fleet** · {' · '.join(_head(tree))}",
        answer,
        *error,
        f"{facts.spent_sentence(tree)}  \n{facts.isolation(tree)}",
        f"{fence}text\n{outline}\n{fence}",
    ]
    return facts.printable("\n\n".join(parts))
