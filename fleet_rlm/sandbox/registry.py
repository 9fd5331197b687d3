"""Sandboxes by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from fleet_rlm.core.errors import UserError
from fleet_rlm.sandbox.base import Sandbox

NAMES = {
    "local": "a confined process on this machine, the strongest protection it offers (the default)",
    "process": "a separate process on this machine without confinement: the code can do what you can do",
}


def check_name(name: str) -> None:
    """Raise UserError unless there is a backend of this name."""
    if name not in NAMES:
        near = difflib.get_close_matches(str(name), NAMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(map(repr, NAMES))}"
        raise UserError(f"there is no sandbox {name!r}; {hint}")


def sandbox_named(name: str, values: Iterable[Any] = (), least: str = "confined") -> Sandbox:
    """A new sandbox, not started.

    Args:
        values: what will be put there; the libraries they need are loaded before it is forked.
        least: the least confinement a local one may have; where that cannot be had, it does not start.

    Raises:
        UserError: there is no such backend.
    """
    check_name(name)
    from fleet_rlm.sandbox.local import LocalSandbox
    from fleet_rlm.sandbox.values import modules_for

    local = "auto" if least == "confined" else least  # "auto" is confined at least
    return LocalSandbox(tier=local if name == "local" else name, preload=modules_for(*values))
