"""Whose request this is, in our words: a tenant, a user and roles, whatever the server's way of signing in is.

- *Entra*: tenant and object id of the token, and its app roles.
- *JupyterHub*: the Hub says who it is and stays in charge of who gets in. The tenant comes from the Hub's `auth_state`
  where the Hub passes it on, else it is FLEET_HUB_TENANT. The server's owner may do everything on it, a Hub admin too;
  others whom the Hub lets in have the roles that Hub groups of the same names give them, and none otherwise.
- *The server's own token or password* is one person's: whoever has it is that person, and may do all.
- *Another identity provider* names its users, and the server's authorizer alone says what they may.
- *Debug identities*, to play several people on one's own machine: ALLOW_DEBUG_AUTH with APP_ENV=local, for requests
  from this very machine that are signed in all the same. They change whose data is seen, not whether one gets in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jupyter_server.auth import IdentityProvider
from jupyter_server.auth.identity import LegacyIdentityProvider, PasswordIdentityProvider
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from fleet_rlm.server.auth.deployment import Deployment
from fleet_rlm.server.auth.permission import ROLES
from fleet_rlm.server.auth.user import EntraUser

LOCAL = "local"
SETTING = "fleet_deployment"  # of the web application: the Deployment it runs under
ONE_SECRET = (IdentityProvider, PasswordIdentityProvider, LegacyIdentityProvider)  # user names there are random
PROXY_HEADERS = ("X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "Via")


@dataclass(frozen=True)
class Identity:
    """Who owns what a request makes, and what they may do. `tenant` and `user` together are the key."""

    tenant: str
    user: str
    roles: frozenset[str]


def deployment_of(handler: RequestHandler) -> Deployment:
    """The deployment this application runs under: its identity provider's, else the environment's, read once."""
    if SETTING not in handler.settings:
        own = getattr(handler.settings.get("identity_provider"), "deployment", None)
        handler.settings[SETTING] = own if isinstance(own, Deployment) else Deployment.from_environ()
    deployment: Deployment = handler.settings[SETTING]
    return deployment


def identity_of(handler: RequestHandler) -> Identity:
    """The identity behind a request that is signed in."""
    user, deployment = handler.current_user, deployment_of(handler)
    if isinstance(user, EntraUser):
        return Identity(user.tid, user.oid, user.roles)
    hub_user = getattr(user, "hub_user", None)
    if isinstance(hub_user, Mapping):
        return _of_hub(hub_user, deployment)
    if deployment.debug_identities and deployment.app_env == "local" and _from_this_machine(handler.request):
        return _of_headers(handler.request)
    shared = type(handler.settings.get("identity_provider")) in ONE_SECRET
    return Identity(LOCAL, LOCAL if shared else _id(user.username), frozenset(ROLES))


def _of_hub(user: Mapping[str, Any], deployment: Deployment) -> Identity:
    state = user.get("auth_state")
    claims = state.get("user") if isinstance(state, Mapping) else None
    tid = claims.get("tid") if isinstance(claims, Mapping) else None
    name, groups = str(user["name"]), user.get("groups") or ()
    trusted = user.get("admin") is True or name == deployment.hub_owner
    roles = frozenset(ROLES) if trusted else frozenset(ROLES).intersection(groups)
    return Identity(tid if isinstance(tid, str) and tid else deployment.hub_tenant, _id(name), roles)


def _id(name: str) -> str:
    """A login name, which may hold any sign, as an id: what ids cannot hold is percent-encoded."""
    return quote(name, safe="@:+")


def _of_headers(request: HTTPServerRequest) -> Identity:
    """The debug identity a request asks for; what it leaves out is as without."""
    told = request.headers.get("X-Fleet-Debug-Roles")
    roles = frozenset(ROLES) if told is None else frozenset(told.replace(",", " ").split()) & frozenset(ROLES)
    tenant, user = (request.headers.get(f"X-Fleet-Debug-{what}") or LOCAL for what in ("Tenant", "User"))
    return Identity(tenant, user, roles)


def _from_this_machine(request: HTTPServerRequest) -> bool:
    """True where the connection itself is from loopback and no proxy says it speaks for somebody else."""
    if any(name in request.headers for name in PROXY_HEADERS):
        return False
    address = getattr(getattr(request.connection, "context", None), "address", None)
    try:
        return isinstance(address, tuple) and ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False
