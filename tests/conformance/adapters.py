"""dspy's own interpreters behind the few blocking names that the conformance checks use."""

from __future__ import annotations

from typing import Any

from dspy.primitives.code_interpreter import CodeExecutionError, FinalOutput

from fleet_rlm.sandbox.base import CellError, CellResult


class DspyInterpreter:
    """Runs cells on an interpreter of dspy's; what it keeps together in one text is one text here."""

    def __init__(self, interpreter: Any) -> None:
        self.interpreter = interpreter
        self.tools = interpreter.tools

    def start(self) -> None:
        self.interpreter.start()

    def run(self, code: str, variables: dict[str, Any] | None = None) -> CellResult:
        try:
            result = self.interpreter.execute(code, variables)
        except (CodeExecutionError, SyntaxError) as error:
            kind, _, message = str(error).partition(": ")
            return CellResult(error=CellError(kind, message, str(error)))
        if isinstance(result, FinalOutput):
            return CellResult(submitted=result.output)
        return CellResult(printed=str(result) if result is not None else "")

    def shutdown(self) -> None:
        self.interpreter.shutdown()
