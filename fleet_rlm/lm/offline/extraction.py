"""Reading one value out of a short text by rules: a version, date, number, amount, name, or what stands after `is`.

The kind of value comes from the words of the question; the place in the text from the words both share. Nothing is
guessed: no fitting value gives "".
"""

from __future__ import annotations

import re

from fleet_rlm.lm.offline.words import STOPWORDS, name_words, singular, words

_VERSION = r"(?<![\d.,$€£-])\d+\.\d+(?:\.\d+)*(?:[ab]\d+|rc\d+)?"
_DATE = (
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\d{1,2}[./]\d{1,2}[./]\d{4}|"
    r"(?:\d{1,2} )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?(?: \d{1,2},?)? \d{4}"
)
_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
_NAME = r"[A-Z][\w'’-]+(?: (?:[A-Z][\w'’-]+|van|de|von))*"
_KINDS: tuple[tuple[str, str, str], ...] = (
    ("version", r"\b(?:version|release)\b", _VERSION),
    ("date", r"\b(?:when|date|day|deadline|time)\b", _DATE),
    ("email", r"\be-?mail|\baddress\b", r"[\w.+-]+@[\w-]+\.[\w.]+"),
    ("url", r"\b(?:url|link)\b", r"https?://[^\s\"'<>)]+"),
    (
        "amount",
        r"\b(?:amount|price|cost|how much|fee|salary|total)\b",
        rf"[$€£] ?{_NUMBER}|{_NUMBER} ?(?:USD|EUR|€|%)|{_NUMBER}",
    ),
    ("year", r"\byear\b", r"\b(?:19|20)\d\d\b"),
    ("number", r"\b(?:number|how many|port|count|limit|size|percentage|age|pin)\b", _NUMBER),
    ("person", r"\b(?:who|author|owner|person|name)\b", _NAME),
)
_REMOVAL = re.compile(r"\bremov", re.IGNORECASE)
_SINCE = re.compile(
    r"(?:deprecated|added|new|changed|introduced)\s+(?:since|in)\s+(?:python\s+|version\s+)?$", re.IGNORECASE
)


def extract(question: str, text: str, attribute: str = "") -> str:
    """The value in the text that answers the question, or ""."""
    asked = (attribute if attribute and attribute != "value" else question).lower()
    for kind, cue, pattern in _KINDS:
        if re.search(cue, asked):
            if kind == "version":
                return _version(text, removal=bool(_REMOVAL.search(question)))
            found = _nearest(pattern, question, text)
            if found or kind != "person":
                return found
    return _stated(question, text)


def _version(text: str, *, removal: bool) -> str:
    """The version a text names. Asked about a removal, only one that is said of the removal counts."""
    given = re.search(r"\bremov\w*\s*=\s*\(\s*(\d+)\s*,\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", text)
    if given:
        return ".".join(part for part in given.groups() if part)
    said = re.search(
        rf"\bremov\w*\b[^.;()]{{0,60}}?\b(?:in|from|with|by|after|of|for)?\s*(?:Python|version|release|v)?\s*({_VERSION})",
        text,
        re.IGNORECASE,
    )
    if said:
        return said[1]
    if removal:
        before = re.search(
            rf"(?:Python|version|release)\s+({_VERSION})\s+(?:will\s+)?(?:remov|drop)", text, re.IGNORECASE
        )
        return before[1] if before else ""
    pairs = list(re.finditer(_VERSION, text))
    later = [match for match in pairs if not _SINCE.search(text[: match.start()])]
    tuples = re.search(r"\bversion\w*\s*=\s*\(\s*(\d+)\s*,\s*(\d+)", text)
    chosen = later or pairs
    return chosen[0][0] if chosen else f"{tuples[1]}.{tuples[2]}" if tuples else ""


def _nearest(pattern: str, question: str, text: str) -> str:
    """The match closest after a word shared with the question; without one, the closest of all."""
    keys = {singular(word.low) for word in words(question) if word.low not in STOPWORDS}
    keys |= {part for key in list(keys) for part in name_words(key)}
    spots = [word.end for word in words(text) if singular(word.low) in keys or set(name_words(word.text)) & keys]
    found = re.finditer(pattern, text)
    matches = [one for one in found if singular(one[0]) not in keys and one[0].lower() not in STOPWORDS]
    if not matches:
        return ""
    last = max(spots, default=0)
    after = [match for match in matches if match.start() >= last]
    chosen = after[0] if after else max(matches, key=lambda match: (match.end() <= last, match.start()))
    return chosen[0].strip(" ,.")


def _stated(question: str, text: str) -> str:
    """What stands after the last shared word and an `is`, `are`, `:` or `=`, up to the end of the clause."""
    keys = {singular(word.low) for word in words(question) if word.low not in STOPWORDS}
    spots = [word.end for word in words(text) if {singular(word.low), *name_words(word.text)} & keys]
    for spot in sorted(set(spots), reverse=True):
        said = re.match(
            r"[^.:=\n]{0,40}?(?:\b(?:is|are|was|were|equals|reads|says|named|called)\b|[:=])+[:\s]*(.+)", text[spot:]
        )
        if said:
            value = re.split(r"(?<=[\w\"'`)])[.;](?:\s|$)|,\s(?:and|but|which)\b", said[1])[0]
            return value.strip().strip("\"'`,()")
    return ""
