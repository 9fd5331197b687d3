"""What a question asks of texts, read by rules: the family, the terms to look for, and what to read from the hits.

`read_text_question` returns None for anything outside the families. It never sees the data: only the data can tell
whether a term occurs, so the programs report that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from fleet_rlm.lm.offline.text_terms import CODE_VERBS, FILES, Terms, read_terms
from fleet_rlm.lm.offline.words import STOPWORDS, quoted, singular, small_number, vocabulary, words

Family = Literal["count", "where", "quote", "rank", "size", "totals", "read", "value", "moment"]

_ATTRIBUTES = (
    "version release date day year month time deadline number amount price cost total code port name author owner "
    "person email address reason value status url link limit size count percentage"
)
_REFUSED = re.compile(
    r"\b(?:why|explain|translate|rewrite|poem|story|opinion|think|feel|recommend|should|advice|joke|sentiment|"
    r"summari[sz]e|summary|improve|plan|design|predict|forecast)\b"
)
_NOISE = vocabulary(
    "find quote tell show list give name line lines text data file files context document documents "
    "please exact exactly value stated mentioned number"
)


@dataclass(frozen=True)
class TextQuestion:
    """One question about texts."""

    family: Family
    terms: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    """The terms in groups: a line, or for questions about documents a document, needs one of every group."""
    barred: tuple[str, ...] = ()
    """Terms that must not stand in the line or document."""
    loose: frozenset[str] = frozenset()
    """Terms in plain words: whole words, any case, plural or singular. All others are matched as written."""
    files: tuple[str, ...] = ()
    """Names of the documents the question is limited to; empty for all."""
    form: str = "text"
    """How a term must stand in program code: text, import, call, announce, define or raise."""
    unit: Literal["lines", "times", "files"] = "lines"
    each: bool = False
    """Whether figures per document are wanted."""
    attribute: str = ""
    """What to read from each hit, in the question's words, e.g. `Python version`."""
    noun: str = "documents"
    """What the question calls the documents, e.g. `modules`."""
    top: int = 1
    rising: bool = False
    """Fewest, smallest or first instead of most, largest or last."""
    unused: tuple[str, ...] = ()
    """Words that may narrow the question and that no rule has placed: it must be refused."""

    @property
    def what(self) -> str:
        """The terms as an answer names them, e.g. "`a` and `b` but no `c`"."""
        needed = " and ".join(_either(group) for group in self.groups)
        barred = f"no {_either(self.barred)}" if self.barred else ""
        return " but ".join(part for part in (needed, barred) if part)

    @property
    def simple(self) -> bool:
        """Whether any one of the terms makes a hit."""
        return len(self.groups) == 1 and not self.barred

    @property
    def whole(self) -> bool:
        """Whether the conditions are on documents, not on lines."""
        return self.family in ("where", "rank") or self.unit == "files"

    def pattern(self) -> str:
        """The regular expression that finds any of the terms in their form."""
        return "|".join(self.needed())

    def needed(self) -> list[str]:
        """One regular expression for each group."""
        return ["|".join(self._pattern(term) for term in group) for group in self.groups]

    def excluded(self) -> list[str]:
        """One regular expression for each barred term."""
        return [self._pattern(term) for term in self.barred]

    def _pattern(self, term: str) -> str:
        return _pattern(term, self.form, term not in self.loose)


def read_text_question(question: str) -> TextQuestion | None:
    """The question as a typed value, or None when no family fits."""
    low = " ".join(question.lower().split())
    if not low or (_REFUSED.search(low) and not quoted(question)):
        return None
    terms = read_terms(question)
    found = _family(question, low, terms)
    if found is None or found.family == "value":
        return found
    found = replace(found, files=tuple(terms.files))
    return replace(found, unused=tuple(dict.fromkeys([*terms.unused, *_unfit(found, low)])))


def _family(question: str, low: str, terms: Terms) -> TextQuestion | None:
    exact = bool(set(terms.texts) - terms.loose)
    named = re.search(rf"\b(?:{FILES})\b", low)
    noun = f"{named[0].removesuffix('s')}s" if named else "documents"
    rising = bool(re.search(r"\b(?:fewest|least|smallest|shortest|rarest|first|earliest)\b", low))
    base = TextQuestion(
        "quote", terms.texts, tuple(map(tuple, terms.groups)), tuple(terms.barred), frozenset(terms.loose),
        form=_form(low) if exact else "text", noun=noun, top=_top(low), rising=rising,
    )  # fmt: skip
    some = bool(terms.texts or terms.barred)
    counted = re.search(r"how many|how often|\bcount\b|number of (?:times|lines|mentions|files|occurrences)", low)
    extreme = re.search(r"\bwhich\b.*\b(?:most|fewest)\b", low)
    sized = re.search(r"\b(?:largest|longest|biggest|smallest|shortest)\b|(?:most|fewest) (?:lines|characters)\b", low)
    if sized and named and not some:
        return replace(base, family="size", unit="lines" if "line" in low else "times")
    if counted and not extreme:
        each = bool(re.search(rf"\b(?:per|by|each|every) (?:{FILES})\b", low))
        if some:
            return replace(base, family="count", unit=_unit(low), each=each)
        return replace(base, family="totals") if re.search(rf"how many (?:{FILES}|lines|characters)\b", low) else None
    if not some:
        return _value_question(question, low)
    if named and re.search(r"\b(?:most|fewest|least)\b|\btop \w+", low):
        return replace(base, family="rank")
    if (exact and re.search(r"\bwhen\b", low)) or re.search(r"\b(?:first|last|latest|earliest)\b", low):
        return replace(base, family="moment", form="text")
    attribute = _attribute(" ".join(question.split()))
    if attribute and (named or re.search(r"\bwhich\b.*\bwhich\b|\beach\b", low)):
        return replace(base, family="read", attribute=attribute)
    if named and re.search(r"\b(?:which|what|where|list|find|name|show|in which)\b", low):
        return replace(base, family="where")
    if re.search(r"\b(?:quote|find|show|list|print|give|lines?|where)\b", low):
        return base
    return _value_question(question, low)


def _unfit(found: TextQuestion, low: str) -> list[str]:
    """Words that the family cannot take account of: several counts, or joined terms where matches are counted."""
    words_left = ["how many ... how many"] if low.count("how many") > 1 else []
    statements = found.form == "announce" and found.family in ("read", "where")
    if not found.simple and (
        found.family == "rank" or statements or (found.family == "count" and found.unit == "times")
    ):
        words_left += ["not"] * bool(found.barred) + ["and"] * (len(found.groups) > 1)
    return words_left


def _either(terms: tuple[str, ...]) -> str:
    return " or ".join(f"`{term}`" for term in terms)


def key_weights(question: TextQuestion) -> dict[str, float]:
    """How much each word of a value question tells about the right line: names and long words tell most."""
    specific = {term.lower() for term in (*quoted(question.attribute), *_names(question.attribute))}
    return {_stem(term): 3.0 if term in specific else 1.0 + len(term) / 20 for term in question.terms}


def _stem(word: str) -> str:
    """`expires` and `expire` as `expir`: long plain words are sought without their ending."""
    return word.removesuffix("s").removesuffix("e") if word.isalpha() and len(word) > 5 else word


def enough(question: TextQuestion) -> float:
    """The weight of words that a line must hold to be about the question: three fifths of all."""
    return round(sum(key_weights(question).values()) * 0.6, 3)


def _value_question(question: str, low: str) -> TextQuestion | None:
    keys = _keys(question)
    if re.search(r"\b(?:not|without|never|except|excluding|neither)\b|n't\b", low):
        return None  # the words of a denied statement stand in the very line that must not be found
    asks = re.search(r"\b(?:what|what's|which|who|where|when|how much|find|tell|give)\b", low)
    return TextQuestion("value", tuple(keys), attribute=question.strip()) if asks and keys else None


def _unit(low: str) -> Literal["lines", "times", "files"]:
    if re.search(rf"how many (?:different |distinct )?(?:{FILES})\b|number of (?:{FILES})\b", low):
        return "files"
    times = r"how many times|how often|occurrences?|number of (?:times|mentions)|how many mentions"
    return "times" if re.search(times, low) else "lines"


def _top(low: str) -> int:
    """How many are asked for: `top 5`, `which 3 files`, `the two largest`; one unless said."""
    said = rf"\b(?:top|which) (\w+)|\b(\w+) (?:largest|longest|biggest|smallest|{FILES})"
    counts = (small_number(one or other) for one, other in re.findall(said, low))
    return next((count for count in counts if count), 1)


def _form(low: str) -> str:
    return next((form for form, verbs in CODE_VERBS.items() if re.search(rf"\b(?:{verbs})\b", low)), "text")


def _attribute(question: str) -> str:
    """The noun asked for besides the unit: `which Python version`, `what date`; "" when there is none."""
    nouns = _ATTRIBUTES.replace(" ", "|")
    asked = re.search(
        rf"\b(?:which|what|whose)\s+((?:[\w.-]+\s+){{0,2}}?(?:{nouns}))s?\b|\b(when)\b|\b(?:the|its|their)\s+"
        rf"((?:[\w.-]+\s+){{0,1}}?(?:{nouns}))s?\s+(?:of|for|in|it|they|each|given|stated)\b",
        question,
        re.IGNORECASE,
    )
    if asked is None:
        return ""
    words_asked = re.sub(
        r"^(?:is |are |was |were )?(?:the |its |their )?", "", asked[1] or asked[3] or "date", flags=re.I
    )
    return " ".join(words_asked.split())


def _names(question: str) -> list[str]:
    inside = [word.text for word in words(question) if word.start > 0]
    return [text for text in inside if re.search(r"[A-Z0-9_.\-]", text)]


def _keys(question: str) -> list[str]:
    """The words of a value question that the right line should hold."""
    from_quotes = [term.lower() for term in quoted(question)]
    plain = [word.low for word in words(question) if word.low not in STOPWORDS | _NOISE and len(word.low) > 1]
    return list(dict.fromkeys([*from_quotes, *(word.removesuffix("'s") for word in plain)]))


def _pattern(term: str, form: str, exact: bool) -> str:
    if not exact:
        parts = [f"(?:{re.escape(singular(part))}(?:s|es)?|{re.escape(part)})" for part in term.split()]
        return r"(?i:\b" + r"\s+".join(parts) + r"\b)"
    name = re.escape(term)
    if form == "import":
        return rf"(?m:^[ \t]*(?:from\s+{name}[.\s]|import\s+(?:[\w. ]+,\s*)*{name}\b))"
    if form == "define":
        return rf"\b(?:def|class)\s+{name}\b"
    if form == "raise":
        return rf"\braise\s+(?:\w+\.)*{name}\b"
    return rf"(?<![\w.]){name}\s*\(" if form == "call" and term.replace(".", "").isidentifier() else name
