"""Whether somebody can answer what the run of a cell asks: found out before it starts, or it would wait for ever.

The buttons of a cell work while it awaits. Below another magic the kernel delivers no message of a page until the cell
has ended, a terminal has no buttons, and a program that executes a notebook does not press any.
"""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError

OR_DETACH = "or add --detach: the run then goes on by itself, and %fleet approve answers"


def check_answerable(shell: Any, policy: str | None, *, awaits: bool, quiet: bool, detached: bool) -> None:
    """Refuse a cell whose run could ask and nobody could answer.

    Args:
        policy: which tools ask; None is as `auto`.
        awaits: the cell leaves the kernel's loop free while it runs.

    Raises:
        UsageError: says why, and what to write instead.
    """
    if policy in (None, "auto") or detached:
        return
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        why = "a terminal has no buttons to answer with: leave --approve out"
    elif not kernel._allow_stdin:
        why = "a program executes this notebook, and nobody is there to answer: leave --approve out"
    elif not awaits:
        why = "below another magic the buttons do not work while the cell runs: give %%fleet a cell of its own"
    elif quiet:
        why = "--quiet leaves the buttons out: leave --quiet out"
    else:
        return
    raise UsageError(f"a run with --approve {policy} waits for answers, and {why}, {OR_DETACH}")
