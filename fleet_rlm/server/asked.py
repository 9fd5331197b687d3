"""What a request says in its query and its JSON: each name once, and nothing that JSON does not know.

Whoever says a thing twice means one of the two, and guessing which is how two programs come to read one request
differently. NaN and numbers without end are taken by many parsers and written back by ours as no JSON.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Collection, Mapping
from typing import Any, NoReturn, TypeVar

from fleet_rlm.server.services.errors import Refused

Text = TypeVar("Text", bound=str | bytes)

SIGN_IN = ("token",)
"""Of the server itself, where it reads its token from addresses."""


def arguments(query: Mapping[str, list[bytes]], without: Collection[str] = SIGN_IN) -> dict[str, str]:
    """The arguments of a query, but for those of the sign-in.

    Raises:
        Refused: one is given twice, or is no text.
    """
    given: dict[str, str] = {}
    for name, values in query.items():
        if name in without:
            continue
        if len(values) > 1:
            raise Refused(f"the argument {name[:80]!r} is given more than once")
        try:
            given[name] = values[0].decode()
        except UnicodeDecodeError:
            raise Refused(f"the argument {name[:80]!r} is no text") from None
    return given


def document(raw: Text) -> Text:
    """The same JSON, for a model to read; what is no JSON at all is left for the model to refuse.

    Raises:
        Refused: an object has a name twice, or a number is none.
    """
    with contextlib.suppress(ValueError, RecursionError):
        json.loads(raw, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite)
    return raw


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"the body says {twice[:80]!r} more than once in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise Refused(f"the body holds {text}, which is no JSON; leave it out, or write null")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Refused(f"the body holds {text[:40]}, which is too large for a number")
    return number
