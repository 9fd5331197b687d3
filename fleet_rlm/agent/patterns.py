"""Regular expressions that a model wrote: linear-time (RE2), so that none of them can hang whoever runs it."""

from __future__ import annotations

from typing import Any

from fleet_rlm.core.errors import UserError


class BadPattern(UserError):
    """A regular expression that RE2 does not take."""


def compiled(pattern: str) -> Any:
    """The pattern, compiled; offers `search` and `finditer` as `re` does.

    Raises:
        BadPattern: it is no regular expression, or needs look-around or back references.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0]
        raise BadPattern(
            f"{pattern!r} is no regular expression that can be used here (RE2: no look-around, no back references): "
            f"{told.decode() if isinstance(told, bytes) else told}"
        ) from None
