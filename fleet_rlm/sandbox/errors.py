"""What may go wrong around a sandbox; an error of the cell's own code is not here, it is `CellResult.error`."""

from __future__ import annotations

from fleet_rlm.core.errors import ContextError, FleetError


class SandboxError(FleetError):
    """The base of everything a sandbox raises."""


class SandboxUnavailable(SandboxError):
    """The requested protection cannot be had on this machine. `reasons` says why, one sentence each."""

    def __init__(self, tier: str, reasons: tuple[str, ...]) -> None:
        self.tier = tier
        self.reasons = reasons
        wanted = "a confined sandbox" if tier == "auto" else f"the sandbox tier {tier!r}"
        super().__init__(
            f'{wanted} is not available here: {"; ".join(reasons)}. Two ways out: pass sandbox="process" to run '
            "generated code in a separate process without confinement (it can then read your files and use your "
            "network), or use a remote sandbox."
        )


class SandboxDied(SandboxError):
    """The sandbox ended while it was needed; its variables are lost. `reason` says what ended it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the sandbox ended and its variables are lost: {reason}")


class SandboxClosed(SandboxError):
    """The sandbox was closed by its owner and cannot be used again."""

    def __init__(self, name: str) -> None:
        super().__init__(f"sandbox {name!r} has been closed; create a new one")


class SandboxBusy(SandboxError):
    """A cell is running; one sandbox runs one cell at a time."""

    def __init__(self, name: str) -> None:
        super().__init__(f"sandbox {name!r} is already running a cell; wait for it, or fork a child")


class ThreadsAlive(SandboxError):
    """Threads that the code started are still running, so its sandbox cannot be copied. `threads` names them."""

    def __init__(self, name: str, threads: tuple[str, ...]) -> None:
        self.threads = threads
        running = ", ".join(threads)
        super().__init__(f"sandbox {name!r} cannot be copied while threads of its code are running: {running}")


class CheckpointLost(SandboxError):
    """A checkpoint does not exist any more."""


class ValueNotSendable(SandboxError, ContextError):
    """A value cannot travel into the sandbox. Names the variable, its type and the way out."""

    def __init__(self, name: str, type_name: str, reason: str) -> None:
        self.name = name
        self.type_name = type_name
        super().__init__(
            f"{name!r} ({type_name}) cannot be sent to the sandbox: {reason}. Send plain data instead: text, bytes, "
            "numbers, lists, dicts, DataFrames, arrays, or what dataclasses.asdict() or .model_dump() give."
        )


class ValueNotReadable(SandboxError):
    """A variable of the sandbox does not exist or is of a kind the host does not accept."""
