"""The terms of a text question and how they are joined: all of, one of, none of. A word it cannot place is kept.

Terms in quotation marks, identifiers and dates count as written; plain words count where a verb or a joining word
stands before them. `unused` holds the words that may narrow the question and that no rule has placed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fleet_rlm.lm.offline.words import STOPWORDS, code_like, vocabulary

FILES = (
    "files? modules? documents? docs? scripts? pages? chapters? notes? reports? packages? papers? emails? messages? "
    "articles? tickets? sources? texts? letters?".replace(" ", "|")
)
MENTION = (
    r"mention(?:s|ed|ing)?|contain(?:s|ed|ing)?|includ(?:es?|ed|ing)|refer(?:s|red|ring)? to|talk(?:s|ed|ing)? about|"
    r"discuss(?:es|ed|ing)?|sa(?:ys?|id|ying)|speak(?:s|ing)? of|about|with(?: the words?)?|match(?:es|ing)?|"
    r"describ(?:es?|ed|ing)|state?s?|announc(?:es?|ed|ing)|cit(?:es?|ed|ing)|name(?:s|d)?|ha(?:s|ve|ving)|"
    r"list(?:s|ed)?|occurrences? of|mentions? (?:of|by)|appearances? of|references? to|"
    r"do(?:es)?|first|last|latest|earliest"
)
CODE_VERBS = {
    "import": r"import(?:s|ed|ing)?",
    "call": r"call(?:s|ed|ing)?|invok(?:es?|ed|ing)",
    "announce": r"announc(?:es?|ed|ing)|warn(?:s|ed|ing)?|issu(?:es?|ed|ing)|emit(?:s|ted|ting)?",
    "define": r"defin(?:es?|ed|ing)|implement(?:s|ed|ing)?",
    "raise": r"rais(?:es?|ed|ing)|throw(?:s|n|ing)?",
}
_NOT = vocabulary(
    "not without no never except excluding lacking neither none don't doesn't didn't isn't aren't cannot lack lacks "
    "minus"
)
_JOIN = frozenset({"and", "or", "but", "nor"})
_LIMITS = vocabulary("before after since until between through than only besides other from")
_KNOWN = (
    (
        vocabulary(
            "word words phrase phrases term terms text texts line lines entry entries record records character "
            "characters mention mentions often times occur occurs occurred occurring occurrence occurrences "
            "appear appears appeared appearing appearances reference references number numbers count counts "
            "many most least fewest top first last latest earliest quote find show list print give name tell "
            "which what where when how much seen reported happen happened happens logged exact exactly please "
            "distinct different total both either by per each every on at of in during for across within inside "
            "via using through anywhere frequently rarely some are there is was were be been did had the that "
            "this these those contained found single one two three four five six seven eight nine ten largest "
            "longest biggest smallest shortest rarest removal removals deprecation deprecations"
        )
        | STOPWORDS
    )
    - _NOT
    - _JOIN
    - _LIMITS
    - {"less", "more", "also"}
)
_VERB = re.compile(rf"(?:{MENTION}|{'|'.join(CODE_VERBS.values())})\Z")
_KNOWN_VERB = re.compile(rf"(?:{MENTION}|{'|'.join(CODE_VERBS.values())}|{FILES}|refer(?:s|red)?|talks?|speaks?)\Z")
_PIECE = re.compile(
    r"`(?P<tick>[^`\n]+)`|\"(?P<quote>[^\"\n]+)\"|“(?P<curly>[^”\n]+)”|(?<!\w)'(?P<single>[^'\n]+)'(?!\w)"
    r"|‘(?P<low>[^’\n]+)’|(?P<date>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\d\d:\d\d(?::\d\d)?)"
    r"|(?P<word>[A-Za-z0-9_]+(?:[.\-'/’][A-Za-z0-9_]+)*)|(?P<comma>[,/])"
)
_OCCASION = re.compile(r"\b(?:first|last|each|every|what|which)\s*\Z", re.IGNORECASE)
_FILE = re.compile(r"[\w./-]+\.[a-z]{2,5}\Z")
_NEXT_QUESTION = re.compile(
    r",? and (?:for |in |on |with |from |to |at |by )?(?:what|which|when|where|who)\b|[.?;!](?:\s|\Z)", re.IGNORECASE
)


@dataclass
class Terms:
    """What the lines or documents must and must not hold."""

    groups: list[list[str]] = field(default_factory=list)
    """One term of every group is needed."""
    barred: list[str] = field(default_factory=list)
    """None of these may stand there."""
    loose: set[str] = field(default_factory=set)
    """Terms in plain words: any case, singular or plural."""
    files: list[str] = field(default_factory=list)
    """Documents the question is limited to."""
    unused: list[str] = field(default_factory=list)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(term for group in self.groups for term in group))


def read_terms(question: str) -> Terms:
    """The terms of the question up to a second question in it (`..., and what amount do they name?`)."""
    return _Reader(question).read()


class _Reader:
    """One walk over the words of a question, left to right."""

    def __init__(self, question: str) -> None:
        cut = _NEXT_QUESTION.search(re.sub(r"[`\"“'‘][^`\"”'’\n]*[`\"”'’]", lambda one: "q" * len(one[0]), question))
        self.pieces = list(_PIECE.finditer(question[: cut.start()] if cut else question))
        self.marked = {*code_like(question)}
        self.terms = Terms()
        self.negated = self.both = self.verb = False
        self.joint = ""
        self.joints: set[str] = set()
        self.before = ""

    def read(self) -> Terms:
        index = 0
        while index < len(self.pieces):
            index += self._step(index)
        if len(self.joints) > 1 and "and" in self.joints:
            self.terms.unused += sorted(self.joints)  # which belongs together only commas or a pause could tell
        return self.terms

    def _step(self, index: int) -> int:
        """Read one piece, or the run of plain words that is one term; how many pieces that were."""
        piece = self.pieces[index]
        kind, text = str(piece.lastgroup), piece[piece.lastgroup or 0]
        low = text.lower().replace("’", "'")
        if kind == "comma":
            self.joint = self.joint or ","
        elif kind == "date":
            if self.before in _LIMITS or (self.joint == "and" and "between" in self.terms.unused):
                self.terms.unused.append(text)
            self._take(text)
        elif kind != "word":
            self._take(text.strip().removesuffix("()"))
        elif low in _NOT:
            self.negated, self.before = True, "not"
        elif low in _JOIN:
            self.joint, self.before = low, low
        elif text in self.marked:
            self._mark(text)
        elif self._is_file(text):
            self.terms.files.append(low)
        elif low in _LIMITS:
            self.terms.unused += [] if low == "from" else [text]
            self.before = low
        elif low == "time" and _OCCASION.search(piece.string[: piece.start()]):
            self.before = low
        elif _KNOWN_VERB.match(low) or low in _KNOWN or (low.isdigit() and self.before in ("top", "which")):
            self._pass(low)
        else:
            return self._plain(index)
        return 1

    def _pass(self, low: str) -> None:
        """A word that is no term: a verb frees the next term from a `not` that stood before the joining word."""
        self.both |= low == "both"
        if _VERB.match(low):
            self.verb |= low not in ("do", "does", "first", "last")
            if self.joint in ("and", "but"):
                self.negated = False
            self.before = "verb" if re.match(MENTION, low) else "code"
        elif low not in ("the", "a", "an", "any", "word", "words", "term", "phrase", "text", "either", "both"):
            self.before = low

    def _mark(self, text: str) -> None:
        if self._is_file(text) and any(one.lastgroup != "word" for one in self.pieces):
            self.terms.files.append(text.lower())
        else:
            self._take(text)

    def _is_file(self, text: str) -> bool:
        return bool(_FILE.match(text)) and self.before in ("in", "of", "from", "within", "inside")

    def _plain(self, index: int) -> int:
        """The plain words from here on, as a term if a verb, a joining word or `how many` stands before them."""
        run: list[str] = []
        for piece in self.pieces[index:]:
            low = piece[0].lower()
            if piece.lastgroup != "word" or low in _KNOWN | _NOT | _JOIN | _LIMITS or piece[0] in self.marked:
                break
            if run and _KNOWN_VERB.match(low):
                break
            run.append(low)
        term = " ".join(run)
        following = self.pieces[index + len(run)][0].lower() if index + len(run) < len(self.pieces) else ""
        adjective = self.before == "many" and re.fullmatch(rf"lines|entries|records|messages|{FILES}", following)
        year = re.fullmatch(r"(?:19|20)\d\d", term) and self.before in ("in", "on", "of", "for", "during")
        if self.before == "code" and len(run) == 1:
            self._take(self.pieces[index][0])
        elif self.before in ("verb", "code", "not", *_JOIN) or adjective or year:
            self.terms.loose.add(term)
            self._take(term)
        else:
            self.terms.unused += run
        return len(run)

    def _take(self, term: str) -> None:
        """A term, joined to those before it."""
        joint, terms = self.joint, self.terms
        if joint == "and" and not (self.both or self.verb):
            terms.unused.append("and")  # `ERROR and WARN lines` may mean either
        if self.negated and joint == "and" and self.before != "not" and terms.barred:
            terms.unused.append("and")  # `not A and B` may mean two things
        if self.negated and joint == "but" and self.before == "but":
            self.negated = False
        if self.negated:
            terms.barred.append(term)
        elif joint in ("or", ",") and terms.groups:
            terms.groups[-1].append(term)
        elif term not in terms.texts:
            terms.groups.append([term])
        if joint and joint != "but" and not self.negated and len(terms.texts) > 1:
            self.joints.add(joint)
        self.joint, self.before = "", "term"
