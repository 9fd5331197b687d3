"""The table of roles: what each opens, and that nothing else does."""

from __future__ import annotations

import pytest

from fleet_rlm.server.auth.permission import ACTIONS, RESOURCES, SELF, Permission, permits

OPENS = {
    "Fleet.Read": ("read fleet.runs", "read fleet.sessions", "read fleet.runtime"),
    "Fleet.Run": ("read fleet.runs", "execute fleet.runs", "write fleet.volumes", "execute fleet.lm"),
    "Fleet.Admin": ("execute fleet.runs", "write fleet.runtime", "read fleet.audit", "execute fleet.optimization"),
}
CLOSED = {
    "Fleet.Read": ("write fleet.runs", "execute fleet.lm", "read fleet.audit"),
    "Fleet.Run": ("write fleet.runtime", "read fleet.audit", "execute fleet.optimization"),
    "Fleet.Admin": ("read fleet.unheard_of", "read contents"),
    "fleet.admin": ("read fleet.runs",),
    "Jupyter.Use": ("read fleet.runs",),
}


@pytest.mark.parametrize(("role", "what"), [(role, what) for role, all_of in OPENS.items() for what in all_of])
def test_the_role_opens_it(role: str, what: str) -> None:
    assert permits({role}, *what.split())


@pytest.mark.parametrize(("role", "what"), [(role, what) for role, all_of in CLOSED.items() for what in all_of])
def test_the_role_does_not_open_it(role: str, what: str) -> None:
    assert not permits({role}, *what.split())


def test_each_role_includes_the_one_before() -> None:
    def opened(role: str) -> set[tuple[str, str]]:
        return {(action, one) for action in ACTIONS for one in RESOURCES if permits({role}, action, one)}

    assert opened("Fleet.Read") < opened("Fleet.Run") < opened("Fleet.Admin")
    assert opened("") == {(action, SELF) for action in ACTIONS}


@pytest.mark.parametrize(
    ("action", "resource"), [("delete", "fleet.runs"), ("read", "fleet.run"), ("read", "contents")]
)
def test_what_nobody_could_ever_be_allowed_cannot_be_asked_for(action: str, resource: str) -> None:
    with pytest.raises(ValueError, match="choose one of"):
        Permission(action, resource)
