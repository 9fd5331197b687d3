"""What a model is told about the sandbox its code runs in."""

from __future__ import annotations

from fleet_rlm.rlm.scope import Scope

BASE = """\
Plain CPython in a confined process without network. Everything a cell prints before an error is kept, and so is the
value of its last expression. pandas, numpy and pyarrow are available if installed. A directory is a read-only mapping
of relative path to text. Files written to ./artifacts are given to the user.
A failed llm_query raises; llm_query_batched raises once for all its failures, or with return_exceptions=True gives
exception objects in their places."""

RECURSIVE = """\
- `sub_rlm(prompt, context=value)` - a recursive sub-agent with its own loop and a copy of your variables; `context` is
  what it should work on. Use it for parts that are themselves too large or too structured for one prompt.
- `sub_rlm_batched(prompts, contexts)` - several of them at once, answers in order.
Both raise an exception if a sub-agent ends without an answer."""


def sandbox_instructions(scope: Scope, *, recursive: bool) -> str:
    """The paragraph on the execution environment; names only functions that exist there."""
    limits = [BASE]
    if recursive:
        limits.append(RECURSIVE)
    if scope.cell_timeout is not None:
        limits.append(f"A cell is interrupted after {scope.cell_timeout:g} s of its own work; its variables are kept.")
    return "\n".join(limits)
