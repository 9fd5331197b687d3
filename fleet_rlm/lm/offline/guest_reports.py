"""Functions that turn findings into the words of an answer; written into code cells like those of `guest_texts`.

Figures come first, then the evidence as `document:line: text`, cut to what a reader can take in, with the rest counted.
"""

from __future__ import annotations

import re
from typing import Any


def counted(count: int, noun: str) -> str:
    """`1 line`, `2 lines`, `0 matches`: the number with its plural noun, or the singular of it."""
    return (
        f"{count} {noun}"
        if count != 1
        else f"1 {noun.removesuffix('es') if noun == 'matches' else noun.removesuffix('s')}"
    )


def quote(hits: list[dict[str, Any]], most: int, total: int) -> str:
    """The first `most` hits as evidence lines, and how many of the `total` are not shown."""
    lines = [f"- {hit['file']}:{hit['line']}: {hit['text']}" for hit in hits[:most]]
    return "\n".join(lines + ([f"- and {total - len(lines)} more"] if total > len(lines) else []))


def report_count(
    counts: dict[str, list[int]], hits: list[dict[str, Any]], what: str, noun: str, unit: str, each: bool
) -> str:
    """How many lines, matches or documents, with the documents that hold most of them."""
    lines, times = sum(entry[0] for entry in counts.values()), sum(entry[1] for entry in counts.values())
    first = {"files": len(counts), "times": times}.get(unit, lines)
    verb = "of" if unit == "times" else "mentions" if first == 1 else "mention"
    head = counted(first, {"files": noun, "times": "matches"}.get(unit, "lines"))
    held = f"{counted(times, 'matches')} on {counted(lines, 'lines')} in {counted(len(counts), noun)}"
    text = f"{head} {verb} {what} ({held})."
    if each or unit == "files":
        column = 1 if unit == "times" else 0
        order = sorted(counts.items(), key=lambda item: (-item[1][column], item[0]))
        text += "\n" + "\n".join(f"- {name}: {entry[column]}" for name, entry in order[:200])
    return f"{text}\nEvidence:\n{quote(hits, 3, lines)}" if hits else text


def report_where(counts: dict[str, list[int]], hits: list[dict[str, Any]], what: str, noun: str) -> str:
    """Which documents say it, with the first line of each."""
    if not counts:
        return f"None of the {noun} mentions {what}."
    firsts: dict[str, dict[str, Any]] = {}
    for hit in hits:
        firsts.setdefault(hit["file"], hit)
    lines = [
        f"- {name} ({counted(counts[name][0], 'lines')})"
        + (f": line {firsts[name]['line']}: {firsts[name]['text']}" if name in firsts else "")
        for name in sorted(counts)
    ]
    verb = "mentions" if len(counts) == 1 else "mention"
    return f"{counted(len(counts), noun)} {verb} {what}:\n" + "\n".join(lines[:200])


def report_quotes(counts: dict[str, list[int]], hits: list[dict[str, Any]], what: str, most: int) -> str:
    """The matching lines themselves."""
    total = sum(entry[0] for entry in counts.values())
    verb = "mentions" if total == 1 else "mention"
    head = f"{counted(total, 'lines')} {verb} {what}:"
    return f"{head}\n{quote(hits, most, total)}" if total else f"No line mentions {what}."


def report_rank(counts: dict[str, list[int]], what: str, noun: str, top: int, rising: bool) -> str:
    """The documents with the most, or fewest, matches."""
    if not counts:
        return f"None of the {noun} mentions {what}."
    order = sorted(counts.items(), key=lambda item: (item[1][1] if rising else -item[1][1], item[0]))
    lines = [f"- {name}: {counted(entry[1], 'matches')} on {counted(entry[0], 'lines')}" for name, entry in order[:top]]
    word = "fewest" if rising else "most"
    head = f"{order[0][0]} has the {word} matches of {what}: {order[0][1][1]}." if top == 1 else ""
    rest = lines if top > 1 else [f"- next: {name}: {entry[1]}" for name, entry in order[1:4]]
    return "\n".join([head or f"The {min(top, len(lines))} {noun} with the {word} matches of {what}:", *rest])


def report_sizes(docs: list[tuple[str, str]], by: str, top: int, rising: bool) -> str:
    """The largest, or smallest, documents by characters or lines."""
    sizes = [(len(text.splitlines()) if by == "lines" else len(text), name) for name, text in docs]
    sizes.sort(key=lambda item: (item[0] if rising else -item[0], item[1]))
    word = ("fewest" if rising else "most") + f" {by}"
    lines = [f"- {name}: {counted(size, by)}" for size, name in sizes[: max(top, 3)]]
    head = f"{sizes[0][1]} has the {word}: {counted(sizes[0][0], by)}." if top == 1 else f"The {top} with the {word}:"
    return "\n".join([head, *lines])


def report_totals(docs: list[tuple[str, str]]) -> str:
    """How many documents, lines and characters there are."""
    lines = sum(len(text.splitlines()) for _, text in docs)
    characters = sum(len(text) for _, text in docs)
    return f"{counted(len(docs), 'documents')}, {counted(lines, 'lines')}, {counted(characters, 'characters')}."


def readings(replies: list[str], count: int) -> list[str]:
    """The readings of `count` numbered items, from replies with one line `[n] reading` each; "" where none."""
    pairs = [pair for reply in replies for pair in re.findall(r"(?m)^\[(\d+)\] (.*)$", reply)]
    found = {int(number): text.strip() for number, text in pairs}
    values = [found.get(index, "none") for index in range(1, count + 1)]
    return ["" if value == "none" else value for value in values]


def report_readings(hits: list[dict[str, Any]], values: list[str], what: str, noun: str, attribute: str) -> str:
    """Document by document what was read from each hit, with the text it was read from."""
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for hit, value in zip(hits, values, strict=False):
        groups.setdefault(hit["file"], []).append((value, hit))
    stated = {name: rows for name, rows in groups.items() if any(value for value, _ in rows)}
    silent = sorted(set(groups) - set(stated))
    lines = []
    for name in sorted(stated):
        found = sorted({value for value, _ in stated[name] if value})
        lines.append(f"- {name}: {', '.join(found)}")
        shown = [row for row in stated[name] if row[0]]
        lines += [f"    {name}:{hit['line']}: `{hit['text']}`" for _, hit in shown[:3]]
        lines += [f"    and {len(shown) - 3} more"] if len(shown) > 3 else []
    verb = "states" if len(stated) == 1 else "state"
    head = f"{counted(len(stated), noun)} with {what} {verb} the {attribute}:"
    if not stated:
        head = f"No {attribute} is stated with {what}."
    tail = f"\n\n{counted(len(silent), f'more {noun}')} with {what} but no {attribute}: {', '.join(silent[:20])}"
    return "\n".join([head, *lines]) + (tail if silent else "")


def unread(counts: dict[str, list[int]], hits: list[dict[str, Any]]) -> str:
    """A closing line for hits that were counted but not reported in full, and so not read; "" if there are none."""
    missing = sum(entry[0] for entry in counts.values()) - len(hits)
    return f"\n\n{missing} further hits were counted but not read." if missing > 0 else ""


def report_moment(timed: list[dict[str, Any]], what: str, last: bool) -> str:
    """The first or last dated hit."""
    if not timed:
        return f"No dated line mentions {what}."
    hit = timed[-1] if last else timed[0]
    word = "last" if last else "first"
    head = f"The {word} dated line with {what} is of {hit['when']}."
    return f"{head}\nEvidence:\n{quote([hit], 1, 1)}"


def report_value(lines: list[dict[str, Any]], values: list[str], least: float) -> str:
    """The value read from the best line that scores at least `least`; other readings are named, not hidden."""
    stated = [(value, hit) for value, hit in zip(values, lines, strict=False) if value and hit["score"] >= least]
    if not stated:
        return f"No line states it. The nearest:\n{quote(lines, 1, 1)}"
    value, hit = stated[0]
    others = sorted({other for other, line in stated if other != value and line["score"] >= hit["score"]})
    also = f"\nOther lines say: {', '.join(others)}." if others else ""
    return f"{value}{also}\nEvidence:\n{quote([hit], 1, 1)}"
