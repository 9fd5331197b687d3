"""dspy's own interpreter behind the few blocking names that the conformance checks use."""

from __future__ import annotations

from typing import Any

from dspy.primitives.code_interpreter import CodeExecutionError, FinalOutput
from dspy.primitives.local_interpreter import LocalInterpreter

from fleet_rlm.sandbox.base import Capabilities, CellError, CellResult


class DspyInterpreter:
    """Runs cells on `dspy.LocalInterpreter`; what it keeps together in one text is one text here."""

    capabilities = Capabilities(concurrent_tools=True, packages=True, network=True)

    def __init__(self, tools: dict[str, Any] | None = None, output_fields: list[dict[str, Any]] | None = None) -> None:
        self.interpreter = LocalInterpreter(tools=tools, output_fields=output_fields)
        self.tools = self.interpreter.tools

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
