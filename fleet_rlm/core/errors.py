"""What may go wrong, named by whose fault it is; each states one clear sentence with the way out."""

from __future__ import annotations

from typing import Any


class FleetError(Exception):
    """Every error this package raises on purpose.

    Attributes:
        run: the run that ended with it and holds the trace so far; None where no run had begun.
    """

    run: Any = None


class UserError(FleetError):
    """The request cannot be carried out as written; the message says how to write it."""


class NotAsked(UserError):
    """There is nothing to decide: the run is over, asks nothing, or was answered already."""


class ContextError(UserError):
    """A context value cannot be read, described or sent."""


class ModelError(FleetError):
    """The model could not be reached, refused, or gave nothing usable."""


class BudgetExhausted(FleetError):
    """The run's budget does not allow the next step. `limit` names what ran out."""

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


class QuotaExhausted(BudgetExhausted):
    """What the user or their organisation may use is used up; the run goes on from its log when it is renewed."""

    def __init__(self, message: str) -> None:
        super().__init__("quota", f"budget: {message}")


class RunFailed(FleetError):
    """A run ended by a fault nobody foresaw; the message holds its type and text, the cause the rest."""


class RunStopped(FleetError):
    """The run was stopped by the user."""
