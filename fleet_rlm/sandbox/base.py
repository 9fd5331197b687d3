"""The contract of a sandbox: where generated code runs, what it gives back, and what protects the host.

A sandbox is one persistent Python namespace in another process or machine. It runs one cell at a time; cells may call
host tools, concurrently. The coroutines are the contract and are always awaited on `fleet_rlm.core.loop`'s background
loop; a backend may offer blocking names on top. Nothing here starts anything, and nothing here knows dspy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

OnOutput = Callable[[Literal["stdout", "stderr"], str], None]
Fork = Callable[[], Awaitable["Sandbox"]]


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do; what is False raises when asked for, it is never imitated silently."""

    fork: bool = False
    interrupt: bool = False
    checkpoint: bool = False
    concurrent_tools: bool = False
    arrow: bool = False
    rich_display: bool = False
    packages: bool = False  # third-party packages of the host's environment can be imported
    network: bool = False


@dataclass(frozen=True)
class IsolationReport:
    """What protects the host from the code, known once the sandbox has started."""

    tier: str  # "confined+ns", "confined", "process", ...
    guarantees: dict[str, str] = field(default_factory=dict)  # guarantee -> mechanism that enforces it
    missing: tuple[str, ...] = ()  # what is not protected, one phrase each

    def summary(self) -> str:
        """One sentence for a header."""
        if not self.guarantees:
            return f"{self.tier}: no confinement; the code can do what you can do"
        lacking = f"; not protected: {', '.join(self.missing)}" if self.missing else ""
        return f"{self.tier}: {', '.join(self.guarantees)}{lacking}"


@dataclass(frozen=True)
class CellError:
    """An exception that left a cell."""

    type: str
    message: str
    traceback: str  # frames of the cell with their source lines; none of the worker's


@dataclass(frozen=True)
class SandboxFile:
    """A file a cell left under ./artifacts, copied out of the code's reach."""

    name: str  # path relative to ./artifacts
    bytes: int
    sha256: str
    path: Path  # lives as long as the sandbox, unless the backend was given a directory to keep files in


@dataclass(frozen=True)
class CellResult:
    """What one cell printed, showed, submitted or raised."""

    stdout: str = ""
    stderr: str = ""
    printed: str = ""  # both streams in the order written
    value: str | None = None  # repr of a trailing expression, bounded
    text_value: str | None = None  # the trailing expression itself, where it is a str
    error: CellError | None = None
    submitted: dict[str, Any] | None = None
    displays: list[dict[str, Any]] = field(default_factory=list)  # mimebundles; image/png is base64 text as in Jupyter
    artifacts: list[SandboxFile] = field(default_factory=list)
    duration_s: float = 0.0
    truncated: bool = False  # part of the output was cut; the cut is marked in the text

    def text(self) -> str:
        """What a model reads: everything printed, then the value, then the traceback."""
        parts = [self.printed.rstrip("\n"), self.value, self.error and self.error.traceback.rstrip("\n")]
        return "\n".join(part for part in parts if part)


CONTEXT_GIVEN = "_context_given"
"""The variable of a child forked by a `ForkingTool` that says whether its `context` was passed to it."""


class ForkingTool:
    """A guest function whose handler may fork the calling sandbox.

    The guest sees `name(prompt, context=<unset>, **json)`. `handler(fork, prompt=..., **json)` runs on the host;
    each `await fork()` gives a child of the calling sandbox with all its variables (copy-on-write), in which `context`
    is the object that was passed, if one was. The children are closed when the handler returns.

    With `batched=True` the guest sees `name(prompts, contexts=None, return_exceptions=False, **json)`; the handler
    runs once per prompt, all concurrently, results keep their order, and failures are raised as one group unless
    the guest asks for them.
    """

    def __init__(self, handler: Callable[..., Awaitable[Any]], *, batched: bool = False) -> None:
        self.handler = handler
        self.batched = batched


Tool = Callable[..., Any] | ForkingTool


class Checkpoint(ABC):
    """The variables of a sandbox as they were at one moment, unpicklable ones included.

    It runs nothing, outlives the death of the sandbox it was taken from, and can be restored any number of times. It
    ends with `aclose`, or when that sandbox is closed.
    """

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of it. Sandboxes restored from it go on. Doing it twice is harmless."""


class Sandbox(ABC):
    """One persistent Python namespace somewhere else.

    `tools` may be changed at any time; changes reach the guest before the next cell. A tool is a sync callable (run
    on this sandbox's own threads), an async callable (run as a task on the background loop) or a `ForkingTool`; each
    sees the context variables of the `aexecute` call. Arguments are JSON, text or bytes; a result may also be a
    DataFrame, an Arrow table or an array. Exceptions reach the guest as exceptions.

    `output_fields` ([{"name", "type"?}]) gives the guest's SUBMIT its fields; None accepts anything.

    `started_by` says how it came to have its variables: "fork" (a copy of another sandbox, restored ones included) or
    "spawn" (a fresh namespace, into which a parent's variables were sent). `dropped` names the parent's variables that
    could not be sent. `files_left` is where a restored sandbox can read its predecessor's files, if they were too many
    to be copied.
    """

    capabilities: Capabilities = Capabilities()

    def __init__(
        self,
        *,
        name: str,
        tools: dict[str, Tool] | None = None,
        output_fields: list[dict[str, Any]] | None = None,
    ) -> None:
        self.name = name
        self.tools: dict[str, Tool] = dict(tools or {})
        self.output_fields = output_fields
        self.started_by: Literal["fork", "spawn"] = "spawn"
        self.dropped: tuple[str, ...] = ()
        self.files_left: Path | None = None

    @property
    @abstractmethod
    def isolation(self) -> IsolationReport:
        """What protects the host. Raises SandboxError before the sandbox has started."""

    @abstractmethod
    async def astart(self) -> None:
        """Be ready for a cell; doing it twice is harmless. Raises SandboxUnavailable."""

    @abstractmethod
    async def aput(self, name: str, value: Any) -> None:
        """Bind a variable in the guest to the value as it is now. What cannot have changed (text, bytes, granted files)
        is not sent again if it is there already.

        Raises:
            ValueNotSendable: with the variable, its type and the way out.
        """

    @abstractmethod
    async def aget(self, name: str) -> Any:
        """Read a variable: JSON values, text, bytes, DataFrames, Arrow tables, numeric arrays.

        Raises:
            ValueNotReadable: if there is no such variable, or it is of another kind.
        """

    @abstractmethod
    async def aexecute(
        self,
        code: str,
        *,
        variables: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> CellResult:
        """Run a cell. Its errors are in the result; `on_output` hears what it prints while it runs.

        `variables` are put first, as by `aput`, without a round trip of their own where that is possible. A large
        object that is there already is only bound again, also one that can change: loops give the same each time.

        `timeout` is in seconds; time spent waiting for host tools does not count. A cell over its deadline is
        interrupted and keeps its variables (error type "CellTimeout"), as is one over a limit of the backend's
        ("CellOverLimit"). Cancelling this call interrupts the guest.

        Raises:
            SandboxDied: if the cell could not be interrupted, or the guest died.
            SandboxBusy, SandboxClosed
        """

    @abstractmethod
    async def afork(self, *, workdir_name: str | None = None) -> Sandbox:
        """A child with this sandbox's variables and tools and a directory of its own, between cells."""

    @abstractmethod
    async def acheckpoint(self) -> Checkpoint:
        """Keep the variables as they are now, between cells.

        Raises:
            SandboxBusy: a cell is running.
            ThreadsAlive: code left threads running, which no copy can hold.
        """

    @abstractmethod
    async def arestore(self, checkpoint: Checkpoint) -> Sandbox:
        """A live sandbox with a checkpoint's variables, in a directory of its own with the files its predecessor has
        by now. It is closed with the sandbox the checkpoint was taken from.

        Raises:
            CheckpointLost: it was closed, or ended with the machine or by hostile code.
        """

    @abstractmethod
    async def ainterrupt(self) -> None:
        """Interrupt the running cell, if any; it ends with a KeyboardInterrupt."""

    @abstractmethod
    async def aclose(self) -> None:
        """End the guest and its children and remove its directory. Doing it twice is harmless."""
