"""Runs that are only a log and a future: the test decides when and how they end."""

from __future__ import annotations

import concurrent.futures
from typing import Any

from fleet_rlm.core.errors import RunStopped
from fleet_rlm.core.events import RunEnd, RunStart
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.run import Run


class Staged:
    """A run whose end the test decides; it ends as "stopped" when it is told to stop, as the runtime's runs do."""

    def __init__(self, name: str = "r1", task: str = "what is it?", deaf: bool = False) -> None:
        self.run = Run(RunLog(name))
        self.run.log.emit(RunStart(task=task, mode="direct", model="test/model"))
        self.future: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.stops = 0
        self._deaf = deaf
        self.run.attach(self.future, self._stop)

    def _stop(self) -> None:
        self.stops += 1
        if not self._deaf and not self.future.done():
            self.fail(RunStopped("the run was stopped; its trace is kept"), "stopped")

    def succeed(self, answer: Any) -> Run:
        self.run.log.emit(RunEnd(status="ok", answer=answer))
        self.future.set_result(None)
        return self.run

    def fail(self, error: Exception, status: Any = "failed") -> Run:
        self.run.log.emit(RunEnd(status=status, error_type=type(error).__name__, error=str(error)))
        error.run = self.run  # type: ignore[attr-defined]
        self.future.set_exception(error)
        return self.run
