"""Blocking names of a sandbox, and the few things dspy expects of a code interpreter.

`dspy.RLM(..., interpreter_factory=LocalSandbox)` works because of this file alone. dspy is imported when its error
and output types are needed, never before; without dspy the blocking names work, except `execute`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from fleet_rlm.core.loop import run_sync
from fleet_rlm.sandbox.base import CellResult, Checkpoint, Sandbox
from fleet_rlm.sandbox.errors import SandboxError, ValueNotSendable


class BlockingFace(Sandbox):
    """Every coroutine of a sandbox under its blocking name."""

    execution_instructions = (
        "Code runs as ordinary CPython in a persistent, confined process: variables, imports and functions stay; the "
        "packages of this environment can be imported; top-level await works. There is no network and no access to "
        "files outside the current directory. The value of a trailing expression is shown, display(obj) shows "
        "tables and figures, files written to ./artifacts are handed to the user. Host tools and SUBMIT are global "
        "functions; tools may be called from several threads at once."
    )

    def start(self) -> None:
        """Be ready for a cell; doing it twice is harmless."""
        run_sync(self.astart())

    def put(self, name: str, value: Any) -> None:
        """Bind a variable; see `aput`."""
        run_sync(self.aput(name, value))

    def get(self, name: str) -> Any:
        """Read a variable; see `aget`."""
        return run_sync(self.aget(name))

    def fork(self, *, workdir_name: str | None = None) -> Sandbox:
        """A child with this sandbox's variables; see `afork`."""
        return run_sync(self.afork(workdir_name=workdir_name))

    def checkpoint(self) -> Checkpoint:
        """Keep the variables as they are now; see `acheckpoint`."""
        return run_sync(self.acheckpoint())

    def restore(self, checkpoint: Checkpoint) -> Sandbox:
        """A live sandbox with a checkpoint's variables; see `arestore`."""
        return run_sync(self.arestore(checkpoint))

    def interrupt(self) -> None:
        """Interrupt the running cell from another thread."""
        run_sync(self.ainterrupt())

    def shutdown(self) -> None:
        """End the sandbox and its children; doing it twice is harmless."""
        run_sync(self.aclose())

    def run(self, code: str, variables: Mapping[str, Any] | None = None, *, timeout: float | None = None) -> CellResult:
        """Run a cell and return everything it did; errors of the code are in the result."""
        return run_sync(self.aexecute(code, variables=variables, timeout=timeout))

    def execute(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        """Run a cell the way dspy expects: its text, None, or FinalOutput after SUBMIT.

        A trailing string is returned as it is if nothing was printed (dspy.Flex parses it).

        Raises:
            SyntaxError, CodeExecutionError: what the model can repair; the message holds everything printed before.
            CodeInterpreterError: when the sandbox is gone.
        """
        from dspy.primitives.code_interpreter import CodeExecutionError, CodeInterpreterError, FinalOutput

        try:
            result = self.run(code, variables)
        except ValueNotSendable:
            raise
        except SandboxError as error:
            raise CodeInterpreterError(str(error)) from error
        if result.error is not None:
            kind = SyntaxError if result.error.type in ("SyntaxError", "IndentationError", "TabError") else None
            raise (kind or CodeExecutionError)(result.text())
        if result.submitted is not None:
            return FinalOutput(result.submitted)
        if result.text_value is not None and not result.printed:
            return result.text_value
        return result.text() or None

    def __call__(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        return self.execute(code, variables)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.shutdown()
