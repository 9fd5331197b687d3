"""Admitting: the store says who is let in; a tenant or a user that an administrator suspended there is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from fleet_rlm.server.auth.refusals import AuthUnavailable

if TYPE_CHECKING:
    from fleet_rlm.server.auth.user import EntraUser
    from fleet_rlm.sessions.store import Store


def admitting(store: Callable[[], Store], *, is_listed: bool) -> Callable[[EntraUser], Awaitable[bool]]:
    """What an identity provider asks about a user whose token is good.

    Args:
        is_listed: the administrator named the tenants, so the store gets to know one when its first user comes;
            otherwise only those are admitted that it knows.
    """

    async def admitted(user: EntraUser) -> bool:
        from fleet_rlm.sessions.store import Identity, NotAdmitted, StoreUnavailable

        scope = store().scoped(Identity(user.tid, user.oid))
        try:
            if is_listed:
                await scope.tenants.afound()
            await scope.users.aadmit()
        except NotAdmitted:
            return False
        except StoreUnavailable:
            raise AuthUnavailable("whether this organisation is admitted cannot be looked up now") from None
        return True

    return admitted
