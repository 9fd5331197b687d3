"""Who is asking, and may they: Entra tokens, browser sign-ins, tickets, roles, and the rules of a deployment.

Knows the Jupyter server's IdentityProvider and Authorizer and nothing of runs or sessions: a handler asks for an
`Identity`, marks each verb with `authorized(action, resource)`, and `selfcheck` refuses to load routes that forgot.
Names are loaded on first use, so that asking for a setting does not import the server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fleet_rlm.server.auth.authorizer import EntraAuthorizer, authorized
    from fleet_rlm.server.auth.deployment import Deployment, configure
    from fleet_rlm.server.auth.guard import FleetHandler, FleetSocket
    from fleet_rlm.server.auth.identity import Identity
    from fleet_rlm.server.auth.policy import enforce
    from fleet_rlm.server.auth.provider import EntraIdentityProvider
    from fleet_rlm.server.auth.selfcheck import check_routes
    from fleet_rlm.server.auth.user import EntraUser

_HOMES = {
    "Deployment": "deployment",
    "EntraAuthorizer": "authorizer",
    "EntraIdentityProvider": "provider",
    "EntraUser": "user",
    "FleetHandler": "guard",
    "FleetSocket": "guard",
    "Identity": "identity",
    "authorized": "authorizer",
    "check_routes": "selfcheck",
    "configure": "deployment",
    "enforce": "policy",
}

__all__ = [
    "Deployment",
    "EntraAuthorizer",
    "EntraIdentityProvider",
    "EntraUser",
    "FleetHandler",
    "FleetSocket",
    "Identity",
    "authorized",
    "check_routes",
    "configure",
    "enforce",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
