"""What credentials look like: tokens by their shape, and secrets by the name or the place they stand at.

The patterns are for RE2, whose time grows with the text and nothing else, over UTF-8 bytes. They are written so that
they find in a line of JSON what they find in the texts inside it, however often those are quoted.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

_HARMLESS = (
    "age|algorithm|auth|cache|count|created|date|dict|dir|endpoint|env|exists|expires|expiry|field|file|format|handler"
    "|helper|hint|id|ids|in|label|len|length|limit|location|manager|max|min|mode|name|names|path|policy|prefix|prompt"
    "|provider|required|rotation|size|source|status|store|type|uri|url|usage|valid|var|variable|version"
)
"""Last words of names that tell something about a secret, and not the secret."""

_SECRETS = "secret|password|passwd|passphrase|pwd|credential|authorization|cookie"
"""Words that make a name one of a secret, wherever in it they are."""

_OF_KEYS = (
    "access|account|admin|api|app|auth|client|consumer|deploy|encryption|license|master|private|secret|service|session"
    "|shared|signing|storage|subscription|webhook"
)
"""What stands before `key` where it is a secret."""

_OF_WORDS = "bos|cls|current|end|eos|first|last|mask|next|pad|per|prev|sep|special|start|stop|top|unk"
"""What stands before `token` where it is a piece of text."""

_SHAPES = [
    rb"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{40,}",
    rb"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|oas)-[A-Za-z0-9_.-]{20,}",  # GitLab
    rb"(?:xox[abeoprs]-|xapp-)[A-Za-z0-9-]{10,}",  # Slack
    rb"(?:AKIA|ASIA)[A-Z0-9]{16}\b",  # AWS
    rb"AIza[A-Za-z0-9_-]{35}\b|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}",  # Google
    rb"[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}",  # Azure
    rb"(?:hf_|r8_|gsk_|xai-|csk-|pplx-|tvly-(?:dev-|prod-)?)[A-Za-z0-9]{24,}|nvapi-[A-Za-z0-9_-]{40,}",  # models
    rb"lsv2_[a-z]{2}_[a-f0-9]{32}\w*|tgp_v1_[A-Za-z0-9_-]{20,}|dapi[a-f0-9]{32}\b",  # LangSmith, Together, Databricks
    rb"dtn_[a-f0-9]{32,}|npg_[A-Za-z0-9]{12,}|do[opr]_v1_[a-f0-9]{40,}",  # Daytona, Neon, DigitalOcean
    rb"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}",  # Stripe
    rb"npm_[A-Za-z0-9]{30,}|pypi-AgE[A-Za-z0-9_-]{40,}",  # packages
    rb"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    rb"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # JSON Web Tokens
]
_SK = rb"(sk-[A-Za-z0-9_-]{16,})"  # OpenAI, Anthropic and many others; packages have such names too

_BREAK = rb"(?:\s|\\+[nr])*"
_PEM = (
    rb"-----BEGIN[ A-Z]*PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:" + _BREAK + rb"[A-Z][A-Za-z-]+: [^\n\\]*)*(?:" + _BREAK + rb"[A-Za-z0-9+/]{16,}=*)*"
    rb"(?:" + _BREAK + rb"[A-Za-z0-9+/=]*" + _BREAK + rb"-----END[ A-Z]*-----)?"
)

_BLANK = rb"(?:[ \t]|\\+t)*"
_QUOTE = rb"\\*[\"'`]"
_Q = rb"(?:\\*[\"'`])?"
_COLON = _BLANK + rb":" + _BLANK
_IS = _Q + rb"\]?" + _BLANK + rb"(?::=|[:=]{1,2}>?)" + _BLANK
_WORD = rb"(?:[^\x00-\x20\"'`\\]|\\+[^\x00-\x20\"'`\\nrt])"
_BARE = rb"(?:[^\x00-\x20\"'`\\,;(){}]|\\+[^\x00-\x20\"'`\\,;(){}nrt])"
_FIRST = rb"[^\x00-\x20\"'`\\,;(){}\[<%-]"

_URL = rb"://[^\x00-\x20:/@\"'<>]*:([^\x00-\x20/?\"'<>]+)@"
_SCHEME = rb"(?:(?i:bearer|basic|token|apikey|digest|negotiate)(?:[ \t]|\\+t)+)?"
_HEADER = rb"(?i:authorization)" + _IS + _Q + _SCHEME + rb"(" + _BARE + rb"{8,})"
_BEARER = rb"(?i:bearer)[ ]+([A-Za-z0-9._~+/-]{16,}=*)"
_COOKIE = rb"(?i:cookie)" + _Q + _COLON + _Q + rb"([^\x00-\x20\"'`\\=;,]+=[^\x00-\x1f\"'`\\]{4,})"

_KEYS = rb"(?:" + _OF_KEYS.encode() + rb")[ _.-]?key"
_NAME = (
    rb"(?i:" + _KEYS + rb"|secret(?:[_.-]?(?:access)?[_.-]?key)?|passw(?:or)?d|passphrase|connection[_.-]?string)"
    rb"(?i:s|value|\d{1,3})?([_-][\w-]{0,32})?"
)
_QUOTED = _NAME + _IS + _QUOTE + rb"(" + _WORD + rb"{8,})"  # PASSWORD='without blanks'
_UNQUOTED = _NAME + _IS + rb"(" + _FIRST + _BARE + rb"{7,}[(\[]?)"  # password=some_value
_TOKEN = rb"(?i:token(?:[_.-]?(?:value|\d{1,3}))?)" + _IS + _Q + rb"([\w.~+/=%-]*\d[\w.~+/=%-]*)"
_OPTION = rb"--(?i:" + _KEYS + rb"|password|secret|token)[ ]+(" + _FIRST + _BARE + rb"{7,})"

_OPEN = rb"connection[ _.-]?string|[\w .-]key"  # not "key" alone, which every span has
_NAMED = _QUOTE + rb"([\w .-]*(?i:" + _SECRETS.encode() + rb"|token|" + _OPEN + rb")[\w .-]*)" + _QUOTE + _COLON
_DOUBLE = _NAMED + rb"\\*\"((?:[^\x00-\x1f\"\\]|\\+[^\x00-\x1f\"\\])+)"  # "password": "anything"
_SINGLE = _NAMED + rb"\\*'((?:[^\x00-\x1f'\\]|\\+[^\x00-\x1f'\\])+)"

_HELD = (
    rb"(?i:(?:" + _SECRETS.encode() + rb")[\w .-]*\":[\[{\d-]"
    rb"|(?:" + _OPEN + rb")s?[\d_. -]*\":[\[{\d-]|tokens?[\d_. -]*\":[\[{])"
)
_PLACES = [_URL, _HEADER, _COOKIE, _DOUBLE, _SINGLE, _QUOTED, _UNQUOTED, _TOKEN, _OPTION]
SUSPECT = b"|".join([*_SHAPES, _SK, _BEARER, rb"PRIVATE KEY-", *_PLACES, _HELD])
"""Every text that holds a credential holds this, and so does every line of JSON with such a text or a key as below."""

UNFINISHED = rb"\b(?:sk-|gh[pousr]_|github_pat_|xox[abeoprs]-|AKIA|ASIA|AIza|hf_|dtn_|npg_|eyJ)[A-Za-z0-9_.-]*\z"
"""The end of a text that may be the beginning of a token."""

_REFERENCE = rb"[$]?[A-Za-z]+[.:!?]?|[$]?_*[A-Za-z]+\d{0,2}(?:[._]+[A-Za-z]+\d{0,2})+|[A-Za-z_][\w.]*[(\[].*"
"""A word, the name of a variable or an attribute, a call: what prose and code have where others have the secret."""

_PLACEHOLDER = (
    rb"(?:(?i:bearer|basic|token) *)?(?:[$]?\{+[^{}]*\}+|<[^<>]*>|%s|[A-Za-z_-]*(?:\*+|\.{3}|\xe2\x80\xa6)|x{3,}"
    rb"|(?i:your)[ _-][A-Za-z _-]+|[A-Z]+(?:_[A-Z]+)+|(?i:password|passwd|pass|secret|token|none|null))?"
)
"""What is to be filled in, or was taken out."""

_WORD_OF_A_NAME = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAME_OF_DATA = re.compile(r"[A-Za-z0-9_. -]{1,100}")
_GLUED = re.compile("(?:api|access|auth|account|private|secret|signing|session|master|refresh|id)(?:key|token)s?")
_DIGIT = re.compile(rb"\d")
_RANDOM = re.compile(rb"[\w.~+/=%-]{8,}")
_DIGEST = re.compile(rb"[0-9a-fA-F-]+")


def linear(pattern: bytes, capture: bool = True) -> Any:
    """The pattern compiled by RE2, for UTF-8 bytes."""
    import re2  # not before a run has something to redact

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = not capture
    options.max_mem = 64 << 20
    options.log_errors = False
    return re2.compile(pattern, options)


_compiled = functools.cache(linear)


def redacted(data: bytes, mark: bytes) -> bytes:
    """The text with `mark` in place of whatever looks like a credential."""
    for pattern, is_secret in _RULES:

        def judged(match: Any, is_secret: Callable[..., bool] = is_secret) -> bytes:
            groups = match.groups(default=b"")
            if not groups:
                return mark
            whole: bytes = match.group()
            if groups[-1] == mark or not is_secret(*groups):
                return whole
            start, end = match.span(len(groups))
            return data[match.start() : start] + mark + data[end : match.end()]  # noqa: B023 - called at once

        data = _compiled(pattern).sub(judged, data)
    return data


def _always(*_: bytes) -> bool:
    return True


def _has_digit(secret: bytes) -> bool:
    return _DIGIT.search(secret) is not None


def _is_filled_in(secret: bytes) -> bool:
    return _compiled(_PLACEHOLDER).fullmatch(secret) is None


def _is_not_code(secret: bytes) -> bool:
    return _is_filled_in(secret) and _compiled(_REFERENCE).fullmatch(secret) is None


def _is_quoted(suffix: bytes, secret: bytes) -> bool:
    return not re.fullmatch(_HARMLESS, re.split("[_-]", suffix.decode().lower())[-1]) and _is_filled_in(secret)


def _is_unquoted(suffix: bytes, secret: bytes) -> bool:
    return _is_quoted(suffix, secret) and _is_not_code(secret)


def _is_held(name: bytes, secret: bytes) -> bool:
    return _is_filled_in(secret) and holds_secret(name.decode(), secret.decode())


def _is_token(value: bytes) -> bool:
    """Not a word, as in a text about words; not a number, as in an account of them."""
    return not value.isdigit() and _DIGIT.search(value) is not None and _RANDOM.fullmatch(value) is not None


def holds_secret(name: str, value: str) -> bool:
    """Whether this text, held under this name in a dict, is a secret."""
    if is_secret_name(name):
        return True
    words, data = _words(name), value.encode("utf-8", "replace")
    if words[-1:] == ["token"]:
        return _is_token(data)
    if words[-1:] in (["key"], ["keys"]) and len(words) > 1:  # many a table has a customer_key
        return len(data) >= 16 and _is_token(data) and not _DIGEST.fullmatch(data)
    return False


def is_secret_name(name: str) -> bool:
    """Whether whatever a dict holds under this name is a secret."""
    words = _words(name)
    if not words or re.fullmatch(_HARMLESS, words[-1]):
        return False
    if words[-2:] == ["connection", "string"] or any(re.fullmatch(f"(?:{_SECRETS})s?", word) for word in words):
        return True
    *_, before, last = "", *words
    if last in ("key", "keys"):
        return re.fullmatch(_OF_KEYS, before) is not None
    if last == "token":
        return before != "" and not re.fullmatch(_OF_WORDS, before)
    return _GLUED.fullmatch(last) is not None


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD_OF_A_NAME.findall(name)] if _NAME_OF_DATA.fullmatch(name) else []


_RULES: list[tuple[bytes, Callable[..., bool]]] = [
    (_PEM, _always),
    (rb"\b(?:" + b"|".join(_SHAPES) + rb")", _always),
    (rb"\b" + _SK, lambda secret: _has_digit(secret) or not secret.islower()),
    (rb"\b" + _BEARER, _has_digit),
    (_URL, _is_filled_in),
    (_HEADER, _is_not_code),
    (_COOKIE, _always),
    (_DOUBLE, _is_held),
    (_SINGLE, _is_held),
    (_QUOTED, _is_quoted),
    (_UNQUOTED, _is_unquoted),
    (_TOKEN, _is_token),
    (_OPTION, _is_not_code),
]
"""Each pattern, and what says of its groups, the last of which is the secret, whether it is one."""
