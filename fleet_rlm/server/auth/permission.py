"""Which role may do what: one table for every way of signing in, and no for all it does not name.

A role is an app role of the API's registration in Entra; other ways of signing in are given the same names. Each
includes the one before: Fleet.Read looks, Fleet.Run works, Fleet.Admin also changes how the server runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

READ, RUN, ADMIN = "Fleet.Read", "Fleet.Run", "Fleet.Admin"
ROLES = (READ, RUN, ADMIN)
ACTIONS = ("read", "write", "execute")

_WORK = (
    "fleet.sessions",
    "fleet.runs",
    "fleet.artifacts",
    "fleet.volumes",
    "fleet.memory",
    "fleet.feedback",
    "fleet.lm",
)
_SERVER = ("fleet.runtime", "fleet.optimization", "fleet.audit")

SELF = "fleet.auth"  # one's own identity and tickets: whoever is signed in
RESOURCES = frozenset((*_WORK, *_SERVER, SELF))

_GRANTS: dict[str, frozenset[tuple[str, str]]] = {
    READ: frozenset(("read", one) for one in (*_WORK, "fleet.runtime", "fleet.optimization")),
    RUN: frozenset((action, one) for action in ACTIONS for one in _WORK),
    ADMIN: frozenset((action, one) for action in ACTIONS for one in _SERVER),
}


@dataclass(frozen=True)
class Permission:
    """What a route asks for: an action on a resource.

    Raises:
        ValueError: the table has no such action or resource, so nobody could ever be allowed.
    """

    action: str
    resource: str

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"there is no action {self.action!r}; choose one of {', '.join(ACTIONS)}")
        if self.resource not in RESOURCES:
            raise ValueError(
                f"there is no resource {self.resource!r}; choose one of {', '.join(sorted(RESOURCES))}, "
                "or add it to fleet_rlm/server/auth/permission.py with the roles that open it"
            )


def permits(roles: Collection[str], action: str, resource: str) -> bool:
    """Whether these roles allow the action on a `fleet.*` resource."""
    if resource == SELF:
        return action in ACTIONS
    held = [role for rank, role in enumerate(ROLES) if any(one in roles for one in ROLES[rank:])]
    return any((action, resource) in _GRANTS[role] for role in held)
