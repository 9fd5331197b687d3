"""Functions over texts whose source the stand-in writes into its code cells; direct answers call them in process.

Each one stands alone with `ast`, `json`, `re` and `warnings` imported: it must run in a sandbox that has not this
package. A hit is {"file", "line", "text", "times"}: one line of one document, its number from 1, the matches on it.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any


def documents(value: Any, name: str) -> list[tuple[str, str]]:
    """(name, text) pairs: the items of a mapping, the elements of a list, or the text itself."""
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        text = value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")
        return [(name, text)]
    if hasattr(value, "items"):
        return [(str(key), item if isinstance(item, str) else str(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"{name}[{index}]", item if isinstance(item, str) else str(item)) for index, item in enumerate(value)]
    return [(name, str(value))]


def line_at(text: str, start: int, end: int) -> str:
    """The line around a match; of a very long line only the sentence around it."""
    left, right = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    right = len(text) if right < 0 else right
    if right - left > 400:
        left = max(left, text.rfind(". ", left, start) + 2 if text.rfind(". ", left, start) >= 0 else start - 200)
        stop = text.find(". ", end, right)
        right = min(right, stop + 1 if stop >= 0 else right, end + 300)
    return " ".join(text[left:right].split())


def search(docs: list[tuple[str, str]], pattern: str) -> list[dict[str, Any]]:
    """One hit for every line that matches, in order of documents and lines."""
    finder = re.compile(pattern)
    hits: list[dict[str, Any]] = []
    for name, text in docs:
        line, seen = 1, 0
        for match in finder.finditer(text):
            line, seen = line + text.count("\n", seen, match.start()), match.start()
            if hits and hits[-1]["file"] == name and hits[-1]["line"] == line:
                hits[-1]["times"] += 1
            else:
                quote = line_at(text, match.start(), match.end())
                hits.append({"file": name, "line": line, "text": quote, "times": 1})
    return hits


def select(docs: list[tuple[str, str]], needed: list[str], barred: list[str], whole: bool) -> list[dict[str, Any]]:
    """Hits where every needed pattern and no barred one matches, in the line or, if `whole`, in the document.

    With nothing needed a hit is any line, or the first line of the document, without matches.
    """
    wants, bars = [re.compile(one) for one in needed], [re.compile(one) for one in barred]

    def fits(text: str) -> bool:
        return all(one.search(text) for one in wants) and not any(one.search(text) for one in bars)

    if whole:
        kept = [doc for doc in docs if fits(doc[1])]
        if needed:
            return search(kept, "|".join(needed))
        return [{"file": name, "line": 1, "text": line_at(text, 0, 0), "times": 0} for name, text in kept]
    hits = []
    for name, text in docs:
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
            if fits(line):
                times = [sum(1 for _ in one.finditer(line)) for one in wants]
                hits.append({"file": name, "line": number, "text": line_at(line, 0, 0), "times": sum(times)})
    return hits


def only(docs: list[tuple[str, str]], names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The documents whose names end in one of `names`; a single document needs no name."""
    found = [doc for doc in docs if doc[0].lower().endswith(names)]
    if not found and len(docs) > 1:
        raise ValueError(f"no document is named {' or '.join(names)}")
    return found or docs


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of attributes, else an empty text."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def involves(call: ast.Call, terms: list[str]) -> bool:
    """Whether the call is of a term, or is given one as an argument."""
    parts = [call.func, *call.args, *(keyword.value for keyword in call.keywords)]
    names = [dotted(part) for part in parts]
    return any(name == term or name.endswith("." + term) for name in names for term in terms)


def calls(docs: list[tuple[str, str]], terms: list[str]) -> list[dict[str, Any]]:
    """One hit for every Python statement that calls a term or passes it to a call; other texts give their lines."""
    hits: list[dict[str, Any]] = []
    for name, text in docs:
        if not any(term in text for term in terms):
            continue
        if not (name.endswith((".py", ".pyi")) or "\nimport " in text or "\ndef " in text):
            hits += search([(name, text)], "|".join(re.escape(term) for term in terms))
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            hits += search([(name, text)], "|".join(re.escape(term) for term in terms))
            continue
        lines = text.splitlines()
        for statement in ast.walk(tree):
            if not isinstance(statement, ast.stmt) or hasattr(statement, "body"):
                continue
            found = [node for node in ast.walk(statement) if isinstance(node, ast.Call) and involves(node, terms)]
            if found:
                source = " ".join(line.strip() for line in lines[statement.lineno - 1 : statement.end_lineno])
                hits.append({"file": name, "line": found[0].lineno, "text": source[:400], "times": len(found)})
    return sorted(hits, key=lambda hit: (hit["file"], hit["line"]))


def best_lines(docs: list[tuple[str, str]], weights: dict[str, float], keep: int) -> list[dict[str, Any]]:
    """The lines that hold the most of the weighted words, best first, each with its `score`. Long words are stems."""
    stems = "|".join(re.escape(word) for word in weights if word.isalpha() and len(word) > 4) or "(?!)"
    whole = "|".join(re.escape(word) for word in weights if not (word.isalpha() and len(word) > 4)) or "(?!)"
    finder = re.compile(rf"(?i)(?<![a-z0-9])(?:({stems})[a-z]{{0,3}}|({whole}))(?![a-z0-9])")
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, text in docs:
        line, seen = 1, 0
        for match in finder.finditer(text):
            line, seen = line + text.count("\n", seen, match.start()), match.start()
            quote = line_at(text, match.start(), match.end())
            hit = found.setdefault((name, quote), {"file": name, "line": line, "text": quote, "times": 0, "words": []})
            hit["times"] += 1
            word = (match[1] or match[2] or "").lower()
            if word not in hit["words"]:
                hit["words"].append(word)
    for hit in found.values():
        hit["score"] = round(sum(weights[word] for word in hit["words"]), 3)
    return sorted(found.values(), key=lambda hit: (-hit["score"], hit["file"], hit["line"]))[:keep]


def moments(hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The hits whose line carries a date or time, in order of that moment, with it as `when`."""
    stamp = r"\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?|\b\d\d:\d\d:\d\d\b"
    timed = [{**hit, "when": found[0]} for hit in hits if (found := re.search(stamp, hit["text"]))]
    return sorted(timed, key=lambda hit: hit["when"].replace("/", "-").replace("T", " "))


def tally(hits: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Document name to [lines, matches]."""
    counts: dict[str, list[int]] = {}
    for hit in hits:
        entry = counts.setdefault(hit["file"], [0, 0])
        entry[0] += 1
        entry[1] += hit["times"]
    return counts


def split(docs: list[tuple[str, str]], parts: int) -> list[dict[str, str]]:
    """The documents in `parts` mappings of about equal size, largest documents spread first."""
    shares: list[dict[str, str]] = [{} for _ in range(parts)]
    sizes = [0] * parts
    for name, text in sorted(docs, key=lambda doc: -len(doc[1])):
        smallest = sizes.index(min(sizes))
        shares[smallest][name] = text
        sizes[smallest] += len(text)
    return [share for share in shares if share]
