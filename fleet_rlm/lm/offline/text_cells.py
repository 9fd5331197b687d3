"""The code that answers a question over texts: look, search (alone or by children), read, answer.

`docs` is bound by the look cell; `hits` and `counts` by the search; `values` by the reading. Large collections are
divided among children that search their share and submit JSON findings, which the parent merges.
"""

from __future__ import annotations

from fleet_rlm.lm.offline.cells import Cell, write_cell
from fleet_rlm.lm.offline.subquery import READ_ITEMS
from fleet_rlm.lm.offline.text_question import TextQuestion, enough, key_weights
from fleet_rlm.lm.offline.wording import LABEL, refusal

FINDINGS = "Search the context and submit the findings as JSON for this question: "
"""How a parent asks a child: the rest of the child's prompt is the question itself."""
DIVIDE_ABOVE = 4_000_000
"""Characters above which a collection is divided; one child then still holds more than a context window."""
CHILDREN = 4
QUOTES = 25
ITEMS = 400
"""Hits that one child reports in full; counts are always complete."""


def search_cell(question: TextQuestion, *, child: bool = False) -> Cell:
    """Find the lines in this sandbox. A child's share was limited to the named documents by its parent."""
    body, functions = _search(question)
    if question.files and not child:
        body, functions = f"{_narrowed(question)}\n{body}", [*functions, "only"]
    shown = "for hit in hits[:8]:\n    print(f\"{hit['file']}:{hit['line']}: {hit['text'][:160]}\")"
    code = f"{body}\ncounts = tally(hits)\nprint('lines:', len(hits), 'documents:', len(counts))\n{shown}"
    thought = (
        f"Search every document for {question.what}." if question.family != "value" else "Rank lines by the words."
    )
    return write_cell("search", thought, code, [*functions, "tally"])


def divide_cell(question: TextQuestion, task: str) -> Cell:
    """Let children search their shares at the same time, and merge what they found."""
    narrowed = _narrowed(question)
    body = f"""{narrowed}
task = {FINDINGS + task!r}
shares = split(docs, {CHILDREN})
print("shares:", [(len(share), sum(map(len, share.values()))) for share in shares])
hits, counts = [], {{}}
for reply in sub_rlm_batched([task] * len(shares), shares):
    found = json.loads(reply)
    hits += found["hits"]
    counts.update(found["counts"])
hits.sort(key=lambda hit: (-hit.get("score", 0), hit.get("when", ""), hit["file"], hit["line"]))
print(len(hits), "findings in", len(counts), "documents")
for hit in hits[:8]:
    print(f"{{hit['file']}}:{{hit['line']}}: {{hit['text'][:160]}}")
"""
    return write_cell(
        "divide",
        "Too much for one pass: children search their shares, I merge.",
        body,
        ["split", "only"] if narrowed else ["split"],
    )


def findings_cell(question: TextQuestion, submit: str) -> Cell:
    """A child's answer: counts in full, hits up to a limit."""
    keep = f"hits[:{QUOTES}] + hits[{QUOTES}:][-{QUOTES}:]"
    if question.family in ("read", "value"):
        keep = "hits"
    elif question.family == "where":
        keep = "list({hit['file']: hit for hit in reversed(hits)}.values())"
    limited = f"({keep})[:{ITEMS}]"
    body = f"findings = {{'by': {LABEL!r}, 'hits': {limited}, 'counts': counts}}"
    return write_cell("answer", "Report the findings to the parent.", f"{body}\n{submit}json.dumps(findings))")


def read_cell(question: TextQuestion, task: str, calls: int) -> Cell:
    """Let sub-queries read each hit; several hits share a prompt, so that at most `calls` prompts are needed."""
    asked = READ_ITEMS.format(attribute=_asked(question), question=task)
    chosen = "hits" if question.family == "read" else "hits[:6]"
    body = f"""
items = [f"[{{n}}] {{hit['file']}}:{{hit['line']}}: {{hit['text']}}" for n, hit in enumerate({chosen}, 1)]
size = max(1, -(-len(items) // {calls}))
prompts = [{asked!r} + "\\n".join(items[at:at + size]) for at in range(0, len(items), size)]
replies = llm_query_batched(prompts) if prompts else []
values = readings(replies, len(items))
print(len(items), "items read in", len(prompts), "sub-queries")
for item, value in list(zip(items, values))[:12]:
    print(value or "none", "<-", item[:120])
"""
    return write_cell("read", f"Have each of the hits read for the {_asked(question)}.", body, ["readings"])


def answer_cell(question: TextQuestion, submit: str, *, read: bool) -> Cell:
    """Compose the answer with its evidence and submit it. Without a reading the lines stand for themselves.

    `submit` opens the call that takes the answer: `SUBMIT(answer=` or `print(`.
    """
    call, function = _report(question, read)
    functions = [function]
    if question.family == "read" and read:
        call, functions = f"{call} + unread(counts, hits)", [function, "unread"]
    if question.files and not needs_search(question):
        call, functions = f"{call.replace('docs', f'only(docs, {question.files!r})', 1)}", [*functions, "only"]
    body = f"answer = {call}\n{submit}answer + {chr(10) * 2 + LABEL!r})"
    if question.family == "value":
        refused = refusal("No line of the data holds enough of the question's words.")
        weak = f"not hits or hits[0]['score'] < {enough(question)}"
        body = f"answer = {refused!r} if {weak} else {call} + {chr(10) * 2 + LABEL!r}\n{submit}answer)"
    return write_cell("answer", "Compose the answer and its evidence.", body, functions)


def needs_reading(question: TextQuestion) -> bool:
    return question.family in ("read", "value")


def needs_search(question: TextQuestion) -> bool:
    return question.family not in ("size", "totals")


def by_statement(question: TextQuestion) -> bool:
    """Whether hits are whole program statements that call the term, not lines that hold its text."""
    return question.form == "announce" and question.family in ("read", "where")


def _asked(question: TextQuestion) -> str:
    return question.attribute if question.family == "read" else "value"


def _search(question: TextQuestion) -> tuple[str, list[str]]:
    if question.family == "value":
        return f"hits = best_lines(docs, {key_weights(question)!r}, 8)", ["best_lines"]
    if by_statement(question):
        return f"hits = calls(docs, {list(question.terms)!r})", ["calls"]
    found, function = f"search(docs, {question.pattern()!r})", "search"
    if not question.simple:
        found, function = f"select(docs, {question.needed()!r}, {question.excluded()!r}, {question.whole})", "select"
    if question.family == "moment":
        return f"hits = moments({found})", ["moments", function]
    return f"hits = {found}", [function]


def _narrowed(question: TextQuestion) -> str:
    return f"docs = only(docs, {question.files!r})" if question.files else ""


def _report(question: TextQuestion, read: bool) -> tuple[str, str]:
    what, noun, rank = question.what, question.noun, f"{question.top}, {question.rising}"
    calls = {
        "count": f"report_count(counts, hits, {what!r}, {noun!r}, {question.unit!r}, {question.each})",
        "where": f"report_where(counts, hits, {what!r}, {noun!r})",
        "quote": f"report_quotes(counts, hits, {what!r}, {QUOTES})",
        "rank": f"report_rank(counts, {what!r}, {noun!r}, {rank})",
        "size": f"report_sizes(docs, {'lines' if question.unit == 'lines' else 'characters'!r}, {rank})",
        "totals": "report_totals(docs)",
        "moment": f"report_moment(hits, {what!r}, {not question.rising})",
        "read": f"report_readings(hits, values, {what!r}, {noun!r}, {question.attribute!r})",
        "value": f"report_value(hits, values, {enough(question)})",
    }
    call = calls[question.family]
    if needs_reading(question) and not read:
        call = f"report_quotes(tally(hits), hits, {what!r}, {QUOTES})"
    return call, call.partition("(")[0]
