"""What a question asks of texts, read by rules: the family, the terms to look for, and what to read from the hits.

`read_text_question` returns None for anything outside the families. It never sees the data: only the data can tell
whether a term occurs, so the programs report that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from fleet_rlm.lm.offline.words import STOPWORDS, code_like, quoted, singular, small_number, vocabulary, words

Family = Literal["count", "where", "quote", "rank", "size", "totals", "read", "value", "moment"]

_FILES = (
    "files? modules? documents? docs? scripts? pages? chapters? notes? reports? packages? papers? emails? messages? "
    "articles? tickets? sources? texts? letters?".replace(" ", "|")
)
_MENTION = (
    r"mention(?:s|ed|ing)?|contain(?:s|ed|ing)?|includ(?:es?|ed|ing)|refer(?:s|red|ring)? to|talk(?:s|ed|ing)? about|"
    r"discuss(?:es|ed|ing)?|sa(?:ys?|id|ying)|speak(?:s|ing)? of|about|with the words?|match(?:es|ing)?|"
    r"describ(?:es?|ed|ing)|state?s?|announc(?:es?|ed|ing)|cit(?:es?|ed|ing)|name(?:s|d)?|ha(?:s|ve)|list(?:s|ed)?|"
    r"occurrences? of|mentions? of|appearances? of|references? to|do(?:es)?"
)
_CODE_VERBS = {
    "import": r"import(?:s|ed|ing)?",
    "call": r"call(?:s|ed|ing)?|invok(?:es?|ed|ing)",
    "announce": r"announc(?:es?|ed|ing)|warn(?:s|ed|ing)?|issu(?:es?|ed|ing)|emit(?:s|ted|ting)?",
    "define": r"defin(?:es?|ed|ing)|implement(?:s|ed|ing)?",
    "raise": r"rais(?:es?|ed|ing)|throw(?:s|n|ing)?",
}
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
_GENERIC = vocabulary("word words phrase term text line lines character characters mention mentions often")


@dataclass(frozen=True)
class TextQuestion:
    """One question about texts."""

    family: Family
    terms: tuple[str, ...] = ()
    exact: bool = True
    """True for quoted and code-like terms: matched as written. False: whole words, any case, plural or singular."""
    form: str = "text"
    """How a term must stand in program code: text, import, call, announce, define or raise."""
    together: bool = False
    """Whether a document must hold all the terms, not just one."""
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

    @property
    def what(self) -> str:
        """The terms as an answer names them."""
        return (" and " if self.together else " or ").join(f"`{term}`" for term in self.terms)

    def pattern(self) -> str:
        """The regular expression that finds the terms in their form."""
        return "|".join(self.patterns())

    def patterns(self) -> list[str]:
        """One regular expression for each term."""
        return [_pattern(term, self.form, self.exact) for term in self.terms]


def read_text_question(question: str) -> TextQuestion | None:
    """The question as a typed value, or None when no family fits."""
    low = " ".join(question.lower().split())
    if not low or (_REFUSED.search(low) and not quoted(question)):
        return None
    terms, exact = _terms(question)
    form = _form(low) if exact else "text"
    named = re.search(rf"\b(?:{_FILES})\b", low)
    noun = f"{named[0].removesuffix('s')}s" if named else "documents"
    rising = bool(re.search(r"\b(?:fewest|least|smallest|shortest|rarest|first|earliest)\b", low))
    base = TextQuestion("quote", terms, exact, form, noun=noun, top=_top(low), rising=rising)
    counted = re.search(r"how many|how often|\bcount\b|number of (?:times|lines|mentions|files|occurrences)", low)
    extreme = re.search(r"\bwhich\b.*\b(?:most|fewest)\b", low)
    sized = re.search(r"\b(?:largest|longest|biggest|smallest|shortest)\b|(?:most|fewest) (?:lines|characters)\b", low)
    if sized and named and not terms:
        return replace(base, family="size", unit="lines" if "line" in low else "times")
    if counted and not extreme:
        each = bool(re.search(rf"\b(?:per|by|each|every) (?:{_FILES})\b", low))
        if terms:
            return replace(base, family="count", unit=_unit(low), each=each)
        return replace(base, family="totals") if re.search(rf"how many (?:{_FILES}|lines|characters)\b", low) else None
    if not terms:
        return _value_question(question, low)
    if named and re.search(r"\b(?:most|fewest|least)\b|\btop \w+", low):
        return replace(base, family="rank")
    if (exact and re.search(r"\bwhen\b", low)) or re.search(r"\b(?:first|last|latest|earliest)\b", low):
        return replace(base, family="moment", form="text")
    attribute = _attribute(" ".join(question.split()))
    if attribute and (named or re.search(r"\bwhich\b.*\bwhich\b|\beach\b", low)):
        return replace(base, family="read", attribute=attribute)
    if named and re.search(r"\b(?:which|what|where|list|find|name|show|in which)\b", low):
        together = bool(re.search(r"\bboth\b|\ball of\b|[`'\"”] and [`'\"“]", low))
        return replace(base, family="where", together=together)
    if re.search(r"\b(?:quote|find|show|list|print|give|lines?|where)\b", low):
        return base
    return _value_question(question, low)


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
    asks = re.search(r"\b(?:what|what's|which|who|where|when|how much|find|tell|give)\b", low)
    return TextQuestion("value", tuple(keys), exact=False, attribute=question.strip()) if asks and keys else None


def _unit(low: str) -> Literal["lines", "times", "files"]:
    if re.search(rf"how many (?:different |distinct )?(?:{_FILES})\b|number of (?:{_FILES})\b", low):
        return "files"
    times = r"how many times|how often|occurrences?|number of (?:times|mentions)|how many mentions"
    return "times" if re.search(times, low) else "lines"


def _top(low: str) -> int:
    """How many are asked for: `top 5`, `which 3 files`, `the two largest`; one unless said."""
    said = rf"\b(?:top|which) (\w+)|\b(\w+) (?:largest|longest|biggest|smallest|{_FILES})"
    counts = (small_number(one or other) for one, other in re.findall(said, low))
    return next((count for count in counts if count), 1)


def _terms(question: str) -> tuple[tuple[str, ...], bool]:
    marked = quoted(question) or code_like(question)
    if marked:
        return tuple(dict.fromkeys(term.strip().removesuffix("()") for term in marked)), True
    low = question.lower()
    verb = re.search(rf"\b(?:{'|'.join(_CODE_VERBS.values())})\s+([a-z_][\w.]*)", low)
    if verb and verb[1] not in STOPWORDS | {"removal"}:
        return (question[verb.start(1) : verb.end(1)],), True
    phrase = re.search(rf"\b(?:{_MENTION})\s+(.*)", low)
    rest = phrase[1] if phrase else ""
    counted = re.search(r"how many ([a-z-]+) (?:lines|entries|messages|records)\b", low)
    timed = re.search(r"\b(?:first|last|latest|earliest) ([a-z-]+)", low)
    if counted and counted[1] not in STOPWORDS:
        rest = counted[1]
    elif timed and timed[1] not in STOPWORDS | {"line", "mention"}:
        rest = timed[1]
    rest = re.split(
        r"[,?.;:!]| and (?:for |in |on |with |from |to |at )?(?:what|which|when|how|where|who)\b|\bin which\b"
        r"|\b(?:in|across|of|from|per|by|for) (?:the|each|all|every|these|this|which|file|document|module)\b"
        r"|\b(?:most|least|the|are there|appears?|occurs?)\b(?= ?$| often)",
        rest,
    )[0]
    parts = re.split(r"\s+or\s+|/", rest)
    found = [" ".join(word.low for word in words(part) if word.low not in STOPWORDS | _GENERIC) for part in parts]
    return tuple(term for term in found if term), False


def _form(low: str) -> str:
    return next((form for form, verbs in _CODE_VERBS.items() if re.search(rf"\b(?:{verbs})\b", low)), "text")


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
