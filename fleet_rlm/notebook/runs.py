"""The runs this kernel has started, the last hundred of them, and how to name one.

A run is named by its id, a beginning of it that is unique, or a variable that holds it; no name means the latest. One
that another kernel started is found on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from fleet_rlm.notebook.suggest import did_you_mean

if TYPE_CHECKING:
    from fleet_rlm.core.run import Run

LIMIT = 100
"""A run keeps its events in memory, so a kernel that lives for weeks must forget."""


class KernelRuns:
    """Runs by id, oldest first; the oldest ended ones leave when there are more than `limit`."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._runs: dict[str, Run] = {}

    def add(self, run: Run) -> None:
        """Remember a run that has just started."""
        self._runs[run.id] = run
        ended = [name for name, kept in self._runs.items() if kept.status != "running"]
        for name in ended[: max(0, len(self._runs) - self._limit)]:
            del self._runs[name]

    def all(self) -> list[Run]:
        """The runs that are remembered, oldest first."""
        return list(self._runs.values())

    def running(self) -> list[Run]:
        """The runs that have not ended, oldest first."""
        return [run for run in self._runs.values() if run.status == "running"]

    def find(self, name: str, namespace: Mapping[str, Any]) -> Run:
        """The run called `name`; the latest if `name` is empty.

        Raises:
            UsageError: there is none, or the beginning fits several.
        """
        from fleet_rlm.core.run import Run  # msgspec: not needed to load the extension

        if not self._runs and not name:
            raise UsageError("no run has been started in this kernel yet; write a question below %%fleet")
        if not name:
            return next(reversed(self._runs.values()))
        if name in self._runs:
            return self._runs[name]
        if isinstance(namespace.get(name), Run):
            return namespace[name]  # type: ignore[no-any-return]
        begins = [run for key, run in self._runs.items() if key.startswith(name)]
        if len(begins) > 1:
            raise UsageError(f"{name!r} is the beginning of several runs: {', '.join(run.id for run in begins)}")
        return begins[0] if begins else self._on_disk(name)

    def _on_disk(self, name: str) -> Run:
        from fleet_rlm.core.errors import UserError
        from fleet_rlm.core.runs import open_run

        try:
            return open_run(name)
        except UserError as error:
            close = did_you_mean(name, self._runs)
            raise UsageError(
                f"this kernel has no run {name!r}{close}" if close else f"{error}; see %fleet runs"
            ) from None


RUNS = KernelRuns()
"""Those of this process; a kernel is one process."""
