"""May this user do that: our `Authorizer` for servers behind Entra, and the mark every verb of ours carries.

`EntraAuthorizer` decides by app roles: `fleet.*` by the table in `permission`, the server's own resources (files,
kernels, terminals) by one role of their own, because whoever has a kernel has the machine.

`authorized` is ours rather than the server's, whose decorator keeps the resource of its first caller for all others.
This one has no default, writes on the method what it asks for (so that `selfcheck` can find a verb without), and asks
twice: the server's authorizer, and the roles of the identity, which also bind where the server's authorizer allows all.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from jupyter_core.utils import ensure_async
from jupyter_server.auth import Authorizer, User
from jupyter_server.base.handlers import JupyterHandler

from fleet_rlm.server.auth.deployment import Entra
from fleet_rlm.server.auth.identity import Identity, identity_of
from fleet_rlm.server.auth.permission import Permission, permits
from fleet_rlm.server.auth.refusals import Forbidden, refusal_of
from fleet_rlm.server.auth.refused import RefusedRequest
from fleet_rlm.server.auth.user import EntraUser

Method = TypeVar("Method", bound=Callable[..., Any])

PERMISSION = "__fleet_permission__"

DENIED = "fleet_denied"
"""Of the web application: told (identity, action, resource) of each that was not allowed."""

Denied = Callable[[Identity, str, str], None]


class EntraAuthorizer(Authorizer):
    """Decides by the app roles in a user's token; select it together with `EntraIdentityProvider`."""

    def is_authorized(self, handler: JupyterHandler, user: User, action: str, resource: str) -> bool:
        """Whether the roles allow it; somebody Entra did not vouch for may do nothing."""
        if not isinstance(user, EntraUser):
            return False
        if resource.startswith("fleet."):
            return permits(user.roles, action, resource)
        return self._core_role in user.roles

    @property
    def _core_role(self) -> str:
        entra: Entra | None = getattr(self.identity_provider, "entra", None)
        return entra.core_role if entra is not None else Entra.core_role


def authorized(action: str, resource: str) -> Callable[[Method], Method]:
    """Let a verb of a handler run only for those who are signed in and may do `action` on `resource`.

    For REST verbs and for the `get` of a WebSocket.

    Raises:
        ValueError: nobody could ever be allowed that; raised where the decorator is written.
    """
    permission = Permission(action, resource)

    def mark(method: Method) -> Method:
        @functools.wraps(method)
        async def checked(self: JupyterHandler, *args: Any, **kwargs: Any) -> Any:
            user = self.current_user
            if user is None:
                raise RefusedRequest(refusal_of(self))
            allowed = await ensure_async(self.authorizer.is_authorized(self, user, action, resource))
            if allowed is not True or not permits(identity_of(self).roles, action, resource):
                tell_denied(self, action, resource)
                raise RefusedRequest(Forbidden("permission_denied", f"you may not {action} {resource} here"))
            result = method(self, *args, **kwargs)
            return await result if isinstance(result, Awaitable) else result

        setattr(checked, "__allow_unauthenticated", False)  # how the server's own start-up check sees it
        setattr(checked, PERMISSION, permission)
        return checked  # type: ignore[return-value]

    return mark


def tell_denied(handler: JupyterHandler, action: str, resource: str) -> None:
    """Tell whoever wants to know that somebody who is signed in may not do that."""
    tell: Denied | None = handler.settings.get(DENIED)
    if tell is not None:
        tell(identity_of(handler), action, resource)
        handler._fleet_denied = True  # type: ignore[attr-defined]


def was_denied(handler: object) -> bool:
    """Whether that was told of this request."""
    return getattr(handler, "_fleet_denied", False)


def permission_of(method: object) -> Permission | None:
    """What a verb was marked with."""
    permission = getattr(method, PERMISSION, None)
    return permission if isinstance(permission, Permission) else None
