"""The value of an expression such as `cfg.data["k"][0]`, found by lookups alone; nothing is evaluated or called.

Only a name, attributes and literal indexes are understood (properties of the user's own objects do run). What is not
there is a plain `UsageError` that names what is close to it.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.error import UsageError

from fleet_rlm.notebook.suggest import did_you_mean

SHOWN_KEYS = 8


def steps(expression: str) -> list[ast.expr] | None:
    """The lookups of an expression from its name outwards, or None if it holds anything else."""
    try:
        node = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # what the parser raises for arbitrary text
        return None
    found: list[ast.expr] = []
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Subscript) and not _is_literal(node.slice):
            return None
        found.append(node)
        node = node.value
    return [node, *reversed(found)] if isinstance(node, ast.Name) else None


def root(expression: str) -> str | None:
    """The name a lookup begins with, or None if the text is not a lookup."""
    found = steps(expression)
    return found[0].id if found and isinstance(found[0], ast.Name) else None


def lookup(expression: str, namespace: Mapping[str, Any]) -> Any:
    """The value in the user's namespace.

    Raises:
        UsageError: the expression is more than a lookup, or a part of it does not exist.
    """
    found = steps(expression)
    if found is None:
        raise UsageError(
            f"`{expression}` is not a variable; names, attributes and indexes can be looked up, as in cfg.data['k'][0]"
        )
    value: Any = None
    for node in found:
        if isinstance(node, ast.Name):
            value = _named(node.id, namespace)
        elif isinstance(node, ast.Attribute):
            value = _attribute(value, node)
        elif isinstance(node, ast.Subscript):
            value = _item(value, node)
    return value


def variables(namespace: Mapping[str, Any]) -> list[str]:
    """The names a user would call their variables: no underscore in front, no modules, functions or classes."""
    ours = {"In", "Out", "exit", "quit", "get_ipython"}
    module = type(ast)
    return [
        name
        for name, value in list(namespace.items())
        if not name.startswith("_") and name not in ours and not callable(value) and not isinstance(value, module)
    ]


def _named(name: str, namespace: Mapping[str, Any]) -> Any:
    try:
        return namespace[name]
    except KeyError:
        raise UsageError(f"there is no variable `{name}`{did_you_mean(name, variables(namespace))}") from None


def _attribute(value: Any, node: ast.Attribute) -> Any:
    where = ast.unparse(node.value)
    try:
        return getattr(value, node.attr)
    except AttributeError:
        close = did_you_mean(node.attr, (name for name in dir(value) if not name.startswith("_")))
        raise UsageError(f"`{where}` has no attribute `{node.attr}`{close}") from None
    except Exception as error:  # a property of the user's object ran and failed
        raise UsageError(f"`{where}.{node.attr}` cannot be read: {type(error).__name__}: {error}") from error


def _item(value: Any, node: ast.Subscript) -> Any:
    where, key = ast.unparse(node.value), ast.literal_eval(node.slice)
    try:
        return value[key]
    except (KeyError, IndexError):
        raise UsageError(f"`{where}` has no item {key!r}{_close_key(value, key)}") from None
    except Exception as error:  # the user's object refused the index in its own way
        raise UsageError(f"`{where}[{key!r}]` cannot be read: {type(error).__name__}: {error}") from error


def _close_key(value: Any, key: Any) -> str:
    if not hasattr(value, "keys"):
        return f"; it has {len(value):,} items" if hasattr(value, "__len__") else ""
    names = [str(name) for name in value.keys()]  # noqa: SIM118  DataFrames iterate over columns by keys()
    return did_you_mean(str(key), names) or f"; it has {_listed(names)}"


def _listed(names: Iterable[str]) -> str:
    first = list(itertools.islice(names, SHOWN_KEYS + 1))
    return ", ".join(first[:SHOWN_KEYS]) + (", ..." if len(first) > SHOWN_KEYS else "") or "none"


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True
