"""Bare prompts (`llm_query`) answered by rules: read numbered items, extract, classify, yes or no, summarise.

The rules use only what stands in the prompt. A prompt that fits none of them gets the refusal.
"""

from __future__ import annotations

import re

from fleet_rlm.lm.offline.extraction import extract
from fleet_rlm.lm.offline.wording import labelled, refusal
from fleet_rlm.lm.offline.words import STOPWORDS, name_words, quoted, singular, words

READ_ITEMS = (
    "Read each numbered item and extract the {attribute} that it states.\nQuestion: {question}\n"
    "Reply with one line per item: [n] and the {attribute}, or [n] none.\n\n"
)
"""The stand-in's own prompt for reading hits; any model can answer it. Fields: attribute, question."""

_ITEMS = re.compile(r"^Read each numbered item and extract the (.+?) that it states\.\nQuestion: (.*)\n", re.MULTILINE)
_LABELS = re.compile(
    r"(?:\bone of(?: the following| these)?(?: labels| categories| classes| topics)?|\blabels|\bcategories|\bclasses|"
    r"\binto|\bas either|\boptions)\s*(?:are|is)?\s*:?\s*([^\n.?]+?)(?:[.?\n]|\Z)",
    re.IGNORECASE,
)
_SUMMARY = re.compile(
    r"\b(?:summari[sz]e|summary|tl;?dr|main points?|in (?:one|two|three|a few) sentences?)\b", re.IGNORECASE
)
_YES_NO = re.compile(
    r"^(?:does|do|is|are|was|were|did|has|have|can)\b|\byes or no\b|\byes/no\b|\btrue or false\b", re.IGNORECASE
)
_TASK = re.compile(r"\b(?:extract|what|which|who|when|find|give|how much|how many|return|quote|where)\b", re.IGNORECASE)


def reply(prompt: str) -> str:
    """The answer to a bare prompt, deterministic. Prose is labelled; values, labels and yes or no are for code."""
    if items := _ITEMS.search(prompt):
        return _read_items(items[1], items[2], prompt[items.end() :])
    task, text = split_task(prompt)
    if not text:
        return refusal("The prompt holds no text to work on.")
    if labels := _labels(task):
        return _classify(labels, text)
    if _SUMMARY.search(task):
        return labelled(_leading(text))
    if _YES_NO.search(task.strip()):
        return _mentions(task, text)
    if _TASK.search(task):
        value = extract(task, text)
        return value if value else "none"
    return refusal()


def split_task(prompt: str) -> tuple[str, str]:
    """The instruction and the text it is about: fenced, after a `Text:`-like heading, or the other paragraphs."""
    if fenced := re.search(r"```\w*\n(.*?)```|<(\w+)>\s*(.*?)\s*</\2>|\"\"\"(.*?)\"\"\"", prompt, re.DOTALL):
        text = fenced[1] or fenced[3] or fenced[4] or ""
        return (prompt[: fenced.start()] + prompt[fenced.end() :]).strip(), text.strip()
    heading = re.search(
        r"^(?:text|document|context|passage|snippet|line|lines|item|review|message|content|input|excerpt|statement|"
        r"record|log|email|sentence|chunk)\s*:[ \t]*\n?",
        prompt,
        re.IGNORECASE | re.MULTILINE,
    )
    if heading:
        return _around(prompt, heading)
    blocks = [block for block in re.split(r"\n\s*\n", prompt.strip()) if block.strip()]
    if len(blocks) > 1:
        task = next((block for block in (blocks[0], blocks[-1]) if _is_task(block)), blocks[0])
        return task, "\n\n".join(block for block in blocks if block is not task)
    head, colon, tail = prompt.partition(":")
    if colon and tail.strip() and _is_task(head):
        return head, tail.strip()
    return prompt.strip(), ""


def _around(prompt: str, heading: re.Match[str]) -> tuple[str, str]:
    before, text = prompt[: heading.start()].strip(), prompt[heading.end() :].strip()
    if not before and (after := re.search(r"\n\s*\n(?:question|task)\s*:\s*(.*)\Z", text, re.IGNORECASE | re.DOTALL)):
        return after[1].strip(), text[: after.start()].strip()
    return before, text


def _is_task(block: str) -> bool:
    return bool(_TASK.search(block) or _SUMMARY.search(block) or _YES_NO.search(block.strip()) or _LABELS.search(block))


def _read_items(attribute: str, question: str, body: str) -> str:
    """`[n] reading` for each numbered item; the place in front of an item is not part of what is read."""
    lines = []
    for number, item in re.findall(r"(?m)^\[(\d+)\] (.*)$", body):
        text = re.sub(r"^\S.*?:\d+: ", "", item, count=1)
        asked = question if attribute == "value" else f"{attribute} ({question})"
        lines.append(f"[{number}] {extract(asked, text, attribute) or 'none'}")
    return "\n".join(lines)


def _labels(task: str) -> list[str]:
    if not re.search(r"\b(?:classif|categor|label|topic|which of|one of)", task, re.IGNORECASE):
        return []
    listed = _LABELS.findall(task)
    parts = re.split(r"\s*[,;|/]\s*|\s+or\s+|\s+and\s+", listed[-1]) if listed else quoted(task)
    found = [part.strip(" `'\"[]()").removeprefix("or ").removeprefix("and ") for part in parts]
    found = [part for part in found if part and len(part.split()) <= 4]
    return found if len(found) > 1 else []


def _classify(labels: list[str], text: str) -> str:
    """The label whose own words occur most often in the text; `none` when no word of any label does."""
    present = [singular(word.low) for word in words(text)]
    scores = {label: sum(present.count(part) for part in name_words(label)) for label in labels}
    best = max(scores.values())
    winners = [label for label in labels if scores[label] == best]
    return winners[0] if best and len(winners) == 1 else "none"


def _mentions(task: str, text: str) -> str:
    """Yes when the text holds every term asked about, else no."""
    terms = quoted(task)
    if not terms:
        about = re.search(
            r"\b(?:mention|contain|include|refer to|discuss|talk about|say|state|about)s?\s+(.*)", task, re.I
        )
        phrase = re.split(r"[?.,\n]|\byes\b", about[1])[0] if about else ""
        terms = [word.low for word in words(phrase) if word.low not in STOPWORDS]
    if not terms:
        return refusal("I can only tell whether a text mentions given words.")
    present = {singular(word.low) for word in words(text)}
    low = text.lower()
    return "yes" if all(term.lower() in low or singular(term) in present for term in terms) else "no"


def _leading(text: str, sentences: int = 2) -> str:
    found = re.findall(r"\S.*?(?:[.!?](?=\s|\Z)|\Z)", " ".join(text.split()))
    return "Leading sentences: " + " ".join(found[:sentences])
