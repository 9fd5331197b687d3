"""Who owns what: a tenant and a user, and the home on this machine that is theirs alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_rlm.server.auth.identity import LOCAL, Identity

if TYPE_CHECKING:
    from fleet_rlm.sessions.store import Identity as Account


@dataclass(frozen=True)
class Owner:
    """A user of a tenant: an identity without its roles, which may change while what it owns goes on."""

    tenant: str
    user: str

    @classmethod
    def of(cls, identity: Identity) -> Owner:
        """Who that is."""
        return cls(identity.tenant, identity.user)

    def home(self, base: Path) -> Path:
        """Where their sessions and runs lie: the server's own home for its only user, one below it for each of many.

        The name is a hash because ids come from outside, and two of them must never lead to one directory.
        """
        if (self.tenant, self.user) == (LOCAL, LOCAL):
            return base
        return base / "users" / hashlib.sha256(f"{self.tenant}\0{self.user}".encode()).hexdigest()[:32]

    def account(self) -> Account:
        """The same for the store.

        Raises:
            UserError: it is none that a store could keep.
        """
        from fleet_rlm.sessions.store import Identity as Account

        return Account(self.tenant, self.user)

    def told(self) -> dict[str, str]:
        """As a kernel writes it beside its logs."""
        return {"tenant": self.tenant, "user": self.user}
