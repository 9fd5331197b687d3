"""An Entra user or program as the Jupyter server knows one: its `User`, with what the token allows."""

from __future__ import annotations

from dataclasses import dataclass, field

from jupyter_server.auth import User

from fleet_rlm.server.auth.verifier import Principal


@dataclass
class EntraUser(User):
    """Who a request comes from. `username` is `tenant id:object id`: names in a token may change and be taken over.

    Attributes:
        tid, oid: the identity.
        scopes, roles: what the calling program may do for them; app roles given to them.
        exp: seconds since the epoch at which the proof ends.
        uti, azp: the token's id and the calling program's, for the audit.
        app: a program that speaks for itself.
    """

    tid: str = ""
    oid: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    roles: frozenset[str] = field(default_factory=frozenset)
    exp: int = 0
    uti: str = ""
    azp: str = ""
    app: bool = False

    @classmethod
    def of(cls, principal: Principal) -> EntraUser:
        """The user a verified token speaks for."""
        return cls(
            username=f"{principal.tid}:{principal.oid}",
            name=principal.name,
            tid=principal.tid,
            oid=principal.oid,
            scopes=principal.scopes,
            roles=principal.roles,
            exp=principal.exp,
            uti=principal.uti,
            azp=principal.azp,
            app=principal.app,
        )
