"""Who asks: the tenant and the user that every row belongs to.

Ids are short strings (a UUID, or a plain name); the store never guesses one. A process that knows no accounts works
as `LOCAL`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet_rlm.core.errors import UserError

ID = re.compile(r"[A-Za-z0-9_%][A-Za-z0-9._@:+~%-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Identity:
    """A user of a tenant.

    Raises:
        UserError: an id is empty, longer than 64 characters, or holds other signs than letters, digits and
            `._@:+~%-`, or begins with one of these that is neither `_` nor `%`.
    """

    tenant: str
    user: str

    def __post_init__(self) -> None:
        for name in ("tenant", "user"):
            value = getattr(self, name)
            if not isinstance(value, str) or not ID.fullmatch(value):
                raise UserError(f"{name} must be a short id of letters, digits and ._@:+~%-, not {value!r}")


LOCAL = Identity("local", "local")
"""The one user of a store without accounts."""
