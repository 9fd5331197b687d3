"""Sign people in as other providers do: `HubLikeProvider` as JupyterHub's, `NamingProvider` as somebody else's.

JupyterHub itself is not among the dependencies of the tests. The shape is that of its own provider, a `User` whose
`hub_user` is the Hub's model of the user (name, kind, admin, groups, and auth_state where a scope grants it).
"""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import IdentityProvider, User
from tornado.web import RequestHandler

TENANT = "0d000000-0000-4000-8000-000000000002"
MODELS: dict[str, dict[str, Any]] = {
    "ada": {"name": "ada", "kind": "user", "admin": False, "groups": [], "auth_state": {"user": {"tid": TENANT}}},
    "grace": {"name": "grace", "kind": "user", "admin": False, "groups": ["Fleet.Read", "staff"]},
    "guest": {"name": "guest", "kind": "user", "admin": False, "groups": ["staff"], "auth_state": None},
    "zoe": {"name": "Zoë K+1@campus.example", "kind": "user", "admin": True, "groups": []},
    "root": {"name": "root", "kind": "user", "admin": True, "groups": []},
}


class HubUser(User):
    def __init__(self, hub_user: dict[str, Any]) -> None:
        self.hub_user = hub_user
        super().__init__(username=hub_user["name"])


class HubLikeProvider(IdentityProvider):
    hub_auth = object()

    async def get_user(self, handler: RequestHandler) -> HubUser | None:  # type: ignore[override]
        name = handler.request.headers.get("Authorization", "").removeprefix("token ")
        return HubUser(MODELS[name]) if name in MODELS else None


class NamingProvider(IdentityProvider):
    """Somebody else's: users have names and nothing more."""

    async def get_user(self, handler: RequestHandler) -> User | None:
        name = handler.request.headers.get("Authorization", "").removeprefix("token ")
        return User(name) if name else None
