"""The functions that `--tools` names: found in the notebook's namespace, or refused with what was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from IPython.core.error import UsageError

from fleet_rlm.notebook.suggest import did_you_mean


def functions(namespace: Mapping[str, Any]) -> list[str]:
    """The names of what could be a tool: functions and other callables of the user, no classes."""
    ours = {"exit", "quit", "get_ipython", "open"}
    return [
        name
        for name, value in list(namespace.items())
        if not name.startswith("_") and name not in ours and _is_tool(value)
    ]


def tools(written: Iterable[str], namespace: Mapping[str, Any]) -> list[Callable[..., Any]]:
    """The functions that are named, in their order.

    Raises:
        UsageError: there is none of that name, or it is no function.
    """
    names = [name.strip() for part in written for name in part.split(",") if name.strip()]
    for name in names:
        if name not in namespace:
            raise UsageError(f"there is no function `{name}`{did_you_mean(name, functions(namespace))}")
        if not _is_tool(namespace[name]):
            raise UsageError(f"`{name}` is no function but {type(namespace[name]).__name__}; --tools takes functions")
    return [namespace[name] for name in names]


def _is_tool(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)
