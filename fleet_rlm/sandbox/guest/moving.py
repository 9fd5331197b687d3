"""A namespace on its way from one guest to another, through a memory file that the host only passes on.

Functions and classes of cells travel by value (cloudpickle, which comes with dspy), and functions find the new
namespace as their globals. Values the host sent are not written: it is told which they are and binds them again. What
cannot be pickled (locks, generators, open files) is left out and named.
"""

from __future__ import annotations

import os
import pickle
import types
from typing import Any


class _Nowhere:
    """Where bytes of a trial go."""

    def write(self, data: Any) -> int:
        return len(data)


class _Arrival(pickle.Unpickler):
    """Gives functions of `__main__` the namespace they arrive in."""

    def __init__(self, file: Any, namespace: dict[str, Any]) -> None:
        super().__init__(file)
        self._namespace = namespace

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return self._function if name == "_make_function" and module.startswith("cloudpickle") else found

    def _function(self, code: Any, space: dict[str, Any], *rest: Any) -> types.FunctionType:
        return types.FunctionType(code, self._namespace if space.get("__name__") == "__main__" else space, *rest)


def dump(namespace: dict[str, Any], slots: dict[int, Any], skip: set[str], fd: int) -> dict[str, Any]:
    """Write what can be pickled. Returns `bound` (name -> slot of a value the host sent) and `dropped` (names)."""
    import cloudpickle

    held = {id(value): slot for slot, value in slots.items()}
    bound, moving, dropped = {}, {}, []
    for name, value in namespace.items():
        if id(value) in held:
            bound[name] = held[id(value)]
        elif not name.startswith("__") and name not in skip:
            moving[name] = value
    with open(fd, "wb") as file:
        try:
            cloudpickle.dump(moving, file)
        except Exception:
            for name in list(moving):
                try:
                    cloudpickle.dump(moving[name], _Nowhere())
                except Exception:
                    del moving[name]
                    dropped.append(name)
            file.seek(0)
            file.truncate()
            cloudpickle.dump(moving, file)
    return {"bound": bound, "dropped": dropped}


def load(namespace: dict[str, Any], fd: int) -> dict[str, Any]:
    """Read what `dump` wrote into the namespace."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb") as file:
        namespace.update(_Arrival(file, namespace).load())
    return {}
