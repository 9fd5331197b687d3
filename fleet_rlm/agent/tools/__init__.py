"""What the agent can do: one function per tool, bound to a run's scope and sandbox.

The docstrings are prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.rlm.children import answer_in, fill
from fleet_rlm.rlm.engine import run_cell
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.sandbox.base import Sandbox


def agent_tools(
    scope: Scope, sandbox: Sandbox, names: list[str], *, may_delegate: bool, workspace: Workspace | None = None
) -> list[Callable[..., Any]]:
    """The tools of one run, over the variables `names` of its sandbox."""

    async def delegate_to_rlm(query: str, context: str = "") -> str:
        """Answer a question about the variables by a recursive language model: it writes Python over them, searches,
        counts, reads, asks sub-models, and returns an answer with evidence. Use it for whatever is too large to read
        yourself. `query` must stand on its own. `context` is optional further text for it to work on."""
        extra = {"context": context} if context else {}
        prediction = await answer_in(scope, sandbox.afork, query, names, "delegate_to_rlm", extra)
        return str(prediction.answer)

    async def execute_code(code: str) -> str:
        """Run a short piece of Python in the sandbox that holds the variables and return what it prints, the value of
        the last expression, or the error. State is kept between calls."""
        fill(scope, sandbox, names)
        return (await run_cell(scope, sandbox, code)).text() or "(no output)"

    return [delegate_to_rlm, execute_code] if may_delegate else [execute_code]
