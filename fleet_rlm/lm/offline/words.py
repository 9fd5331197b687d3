"""The words of a question: quoted terms, plain words, singulars, numbers and dates.

Everything here is about English text alone; what a word means for a table or a directory is decided elsewhere.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass

_QUOTED = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|“([^”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)|‘([^’\n]+)’")
_WORD = re.compile(r"[A-Za-z0-9_]+(?:[.\-'/][A-Za-z0-9_]+)*")
_CODE_LIKE = re.compile(r"^(?:[A-Za-z]\w*(?:\.\w+)+|\w*_\w+|[a-z]+[A-Z]\w*|(?:[A-Z][a-z0-9]+){2,}|[A-Z][A-Z0-9_]{2,})$")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip

_NUMERALS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "twenty": 20,
}  # fmt: skip


def vocabulary(text: str) -> frozenset[str]:
    """A set of words written as one text."""
    return frozenset(text.split())


STOPWORDS = vocabulary(
    "a an and any all are as at be been being by can could did do does for from give given had has have how i if in "
    "into is it its list me of on or our please report say show tell than that the their them there these they this "
    "those to was we were what when where which while who whose why will with would you your not no each every per "
    "much many more most less least only also both either between"
)


@dataclass(frozen=True)
class Word:
    """One word of the question with its place in it."""

    text: str
    start: int
    end: int

    @property
    def low(self) -> str:
        return self.text.lower()

    @property
    def is_stopword(self) -> bool:
        """Whether it only joins others; `IT` and `US` in capitals are names."""
        return self.low in STOPWORDS and not (self.text.isupper() and len(self.text) > 1)


def words(text: str) -> list[Word]:
    return [Word(match[0], match.start(), match.end()) for match in _WORD.finditer(text)]


def sections(pattern: re.Pattern[str], text: str) -> list[tuple[re.Match[str], str]]:
    """Each heading with the text up to the next one; what stands before the first is left out."""
    heads = list(pattern.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return [(head, text[head.end() : end]) for head, end in zip(heads, ends, strict=False)]


def quoted(text: str) -> list[str]:
    """Terms in backticks or quotation marks, in order."""
    return [next(group for group in match.groups() if group) for match in _QUOTED.finditer(text)]


def code_like(text: str) -> list[str]:
    """Unquoted words that look like identifiers: dotted, with underscore, camel case or all capitals."""
    bare = _QUOTED.sub(" ", text)
    return [word.text for word in words(bare) if _CODE_LIKE.match(word.text)]


def singular(word: str) -> str:
    """A word's singular by rule: `categories` to `category`, `statuses` to `status`, `rows` to `row`."""
    low = word.lower()
    if low.endswith("ies") and len(low) > 4:
        return low[:-3] + "y"
    if low.endswith(("sses", "shes", "ches", "xes", "uses")):
        return low[:-2]
    if low.endswith("s") and not low.endswith(("ss", "us", "is")) and len(low) > 3:
        return low[:-1]
    return low


def name_words(name: str) -> list[str]:
    """The words of an identifier or column name, lower case singulars: `unitPrices` to `unit`, `price`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [singular(part) for part in re.split(r"[^A-Za-z0-9]+", spaced) if part]


def number(text: str) -> float | int | None:
    """The number a text writes, thousands separators and `k`/`m` multipliers understood."""
    match = re.fullmatch(r"[$€£]?(-?\d[\d,]*(?:\.\d+)?)\s*(%|k|m|million|thousand)?", text.strip().lower())
    if match is None:
        return None
    factor = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}.get(match[2] or "", 1)
    value = float(match[1].replace(",", "")) * factor
    return int(value) if value.is_integer() else value


def small_number(text: str) -> int | None:
    """A count written in digits or as a word up to twenty."""
    low = text.lower()
    return _NUMERALS.get(low) or (int(low) if low.isdigit() else None)


def period(text: str) -> tuple[str, str] | None:
    """First and last day (ISO) of the day, month or year that a text names; None when it names none."""
    low = text.strip().lower().rstrip(".,?")
    if match := re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[t ]\d\d:\d\d(?::\d\d)?)?", low):
        return match[0].upper(), match[0].upper() if len(low) > 10 else match[1]
    if match := re.fullmatch(r"(\d{4})-(\d\d)", low):
        return _month(int(match[1]), int(match[2]))
    if re.fullmatch(r"(?:19|20)\d\d", low):
        return f"{low}-01-01", f"{low}-12-31"
    day_part = r"(\d{1,2})(?:st|nd|rd|th)?"
    named = re.fullmatch(rf"(?:{day_part} )?([a-z]{{3,9}})\.?(?: {day_part},?)? (\d{{4}})", low)
    if named is None:
        return None
    month = next((i for i, name in enumerate(_MONTHS, 1) if name.startswith(named[2])), None)
    if month is None:
        return None
    day = named[1] or named[3]
    if day is None:
        return _month(int(named[4]), month)
    named_day = f"{named[4]}-{month:02}-{int(day):02}"
    return named_day, named_day


def _month(year: int, month: int) -> tuple[str, str] | None:
    if not 1 <= month <= 12:
        return None
    return f"{year}-{month:02}-01", f"{year}-{month:02}-{monthrange(year, month)[1]:02}"
