"""A run as one self-contained page: answer, spending, isolation, decisions, timeline and the whole recursion tree.

It loads nothing and runs nothing; a content policy in the page itself says so to the browser.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from importlib.resources import files

from fleet_rlm.core.events import Artifact
from fleet_rlm.core.report import facts
from fleet_rlm.core.report.decisions import decisions_table
from fleet_rlm.core.report.flame import flame_svg
from fleet_rlm.core.report.markup import answer_html, esc
from fleet_rlm.core.report.outline import Extent, outline_html
from fleet_rlm.core.tree import Tree

_OUTLINE = Extent(
    field=20_000,
    total=4_000_000,
    times=True,
    pictures=True,
    unfolded=frozenset({"turn", "step", "tool", "rlm", "iteration"}),
)


def html_page(tree: Tree) -> str:
    """The page, for a run that has ended or is still on."""
    head, task = tree.start, tree.start.task if tree.start else ""
    style = files("fleet_rlm.core.report").joinpath("page.css").read_text("utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f"<title>{esc(facts.one_line(task, 80)) or 'fleet run'}</title><style>{style}</style></head><body><main>",
        f'<header><p class="over"><b>fleet</b> <span class="pill is-{tree.status}">{facts.STATUS[tree.status]}</span> ',
        f"{_when(tree)}</p><h1>{esc(task)}</h1>",
        f'<p class="offline"><b>{esc(head.model)}</b>: {facts.OFFLINE}</p>' if head and head.offline else "",
        "</header>",
        f'<section class="answer"><h2>Answer</h2>{_answer(tree)}</section>',
        _facts(tree),
        _section("Decisions", decisions_table(tree)),
        _section("Asked over", _context(tree)),
        _section("Timeline", _legend(tree) + flame_svg(tree) if tree.spans else ""),
        _section("How it was found", outline_html(tree, _OUTLINE)),
        _section("Notes", _items(f"{esc(note.level)}: {esc(note.text)}" for note in tree.notes)),
        _section("Artifacts", _items(_kept(artifact) for artifact in tree.artifacts.values())),
        f"<footer>run {esc(tree.run)} · {facts.count(tree.seq + 1, 'event')} · every figure here is derived from the ",
        "run's log (events.jsonl), which <code>Run.from_jsonl</code> reads back.</footer></main></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _items(items: Iterable[str]) -> str:
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{rows}</ul>" if rows else ""


def _when(tree: Tree) -> str:
    if tree.start is None:
        return ""
    start = datetime.datetime.fromtimestamp(tree.start.ts / 1e6, tz=datetime.UTC)
    return f"{start:%Y-%m-%d %H:%M:%S} UTC · {facts.elapsed(tree)}"


def _answer(tree: Tree) -> str:
    answer = answer_html(tree.end.answer) if tree.end and tree.end.answer is not None else "<p><i>no answer</i></p>"
    if tree.end and tree.end.error:
        return f'{answer}<p class="error"><b>{esc(tree.end.error_type or "error")}</b>: {esc(tree.end.error)}</p>'
    return answer


def _facts(tree: Tree) -> str:
    head = tree.start
    sent = f"{facts.sent(tree):,} characters"
    rows = [
        ("model", facts.models(tree)),
        ("mode", head.mode if head else "unknown"),
        *facts.spent(tree),
        ("sent to the model", sent),
    ]
    cells = "".join(f"<div><dt>{esc(what)}</dt><dd>{esc(figure)}</dd></div>" for what, figure in rows)
    return f'<section><dl>{cells}</dl><p class="isolation">{esc(facts.isolation(tree))}</p></section>'


def _context(tree: Tree) -> str:
    if tree.start is None:
        return ""
    return "".join(
        f"<details><summary><b>{esc(variable.name)}</b> {esc(variable.type)}, {esc(variable.size)}</summary>"
        f"<pre>{esc(facts.cut(variable.preview, 4_000))}</pre></details>"
        for variable in tree.start.context
    )


def _legend(tree: Tree) -> str:
    types = dict.fromkeys(span.type for span in list(tree.spans.values()))
    return f'<p class="legend">{"".join(f"<span class=t-{kind}>{kind}</span>" for kind in types)}</p>'


def _kept(artifact: Artifact) -> str:
    return f"{esc(artifact.name)}, {artifact.bytes:,} bytes, <code>{esc(artifact.path)}</code>"
