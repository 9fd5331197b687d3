"""`%load_ext fleet_rlm`: put the magics, the awaiting form and completion into a shell, and take them out again.

Loading stays far below 50 ms: everything that thinks (dspy, pandas, widgets) is imported when a magic is first used.
"""

from __future__ import annotations

from typing import Any

from fleet_rlm.notebook.awaiting import Awaiting
from fleet_rlm.notebook.completion import fleet_matcher
from fleet_rlm.notebook.magics import FleetMagics


def load_ipython_extension(shell: Any) -> None:
    """Register `%fleet` and `%%fleet`; loading twice changes nothing."""
    shell.register_magics(FleetMagics)
    if not any(isinstance(step, Awaiting) for step in shell.input_transformers_post):
        shell.input_transformers_post.append(Awaiting(shell))
    if fleet_matcher not in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.append(fleet_matcher)


def unload_ipython_extension(shell: Any) -> None:
    """Undo `load_ipython_extension`. Runs in progress go on; their `Run` objects keep working."""
    for kind, names in FleetMagics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop(FleetMagics.__name__, None)
    shell.input_transformers_post[:] = [
        step for step in shell.input_transformers_post if not isinstance(step, Awaiting)
    ]
    if fleet_matcher in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(fleet_matcher)
