"""Signs people in as JupyterHub's own provider does: a `User` that carries the Hub's model of the user as `hub_user`.

JupyterHub itself is not among the dependencies of the tests; the shape is that of jupyterhub.singleuser.extension and
of the Hub's user model (name, kind, admin, groups, scopes, and auth_state where a scope grants it).
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
