"""Looks at every route before it is served: a verb that forgot to say who may use it stops the start.

A missing decorator is invisible in review and in every test that signs in; here it is an error with the verb's name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from tornado.routing import Rule

from fleet_rlm.core.errors import FleetError
from fleet_rlm.server.auth.authorizer import permission_of
from fleet_rlm.server.auth.guard import Guarded, verbs_of
from fleet_rlm.server.auth.permission import Permission


class UnguardedRoutes(FleetError):
    """Routes that would let somebody in unasked; the message names each verb and what it lacks."""


def check_routes(routes: Iterable[Any], public: Collection[str] = ()) -> dict[tuple[str, str], Permission | None]:
    """What each verb of each route asks for, by (pattern, verb); None for the public ones.

    Args:
        routes: as given to tornado: tuples of pattern and handler class, or rules.
        public: patterns whose verbs may be open to anybody, if they are marked `allow_unauthenticated`.

    Raises:
        UnguardedRoutes: a handler is not one of ours, or a verb has neither `authorized` nor a place in `public`.
    """
    found: dict[tuple[str, str], Permission | None] = {}
    faults: list[str] = []
    for route in routes:
        pattern, handler = _parts(route)
        if not (isinstance(handler, type) and issubclass(handler, Guarded)):
            faults.append(f"{pattern}: {getattr(handler, '__name__', handler)} is neither FleetHandler nor FleetSocket")
            continue
        for verb in verbs_of(handler):
            method = getattr(handler, verb.lower())
            permission = permission_of(method)
            if permission is None and not (pattern in public and getattr(method, "__allow_unauthenticated", False)):
                faults.append(f"{pattern}: {handler.__name__}.{verb.lower()} lacks authorized(action, resource)")
            found[pattern, verb] = permission
    if faults:
        raise UnguardedRoutes("these routes would let anybody in; nothing was loaded:\n  " + "\n  ".join(faults))
    return found


def is_open(handler: Any) -> bool:
    """Whether every verb of a page of somebody's sign-in is marked as one that anybody may use."""
    return all(getattr(getattr(handler, verb.lower()), "__allow_unauthenticated", False) for verb in verbs_of(handler))


def _parts(route: Any) -> tuple[str, object]:
    if isinstance(route, Rule):
        regex = getattr(route.matcher, "regex", None)
        return (regex.pattern if regex is not None else repr(route.matcher)), route.target
    pattern, handler, *_ = route
    return str(pattern), handler
