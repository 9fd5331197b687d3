from __future__ import annotations

import subprocess
import sys

from IPython.core.interactiveshell import InteractiveShell

import fleet_rlm

HEAVY = ("dspy", "pandas", "pyarrow", "numpy", "ipywidgets", "anywidget", "msgspec", "litellm", "fleet_rlm.agent")


def footprint(shell: InteractiveShell) -> tuple[object, ...]:
    magics = shell.magics_manager
    names = {kind: {name for name in table if "fleet" in name} for kind, table in magics.magics.items()}
    steps = [type(step).__name__ for step in shell.input_transformers_post]
    return names, "FleetMagics" in magics.registry, steps, len(shell.Completer.custom_matchers)


def test_loading_twice_is_loading_once_and_unloading_undoes_it(shell: InteractiveShell) -> None:
    loaded = footprint(shell)
    fleet_rlm.load_ipython_extension(shell)
    assert footprint(shell) == loaded
    fleet_rlm.unload_ipython_extension(shell)
    bare = footprint(shell)
    assert bare[:2] == ({"line": set(), "cell": set()}, False)
    assert "Awaiting" not in bare[2]  # type: ignore[operator]
    assert bare[3] == loaded[3] - 1  # type: ignore[operator]
    fleet_rlm.unload_ipython_extension(shell)
    assert footprint(shell) == bare
    fleet_rlm.load_ipython_extension(shell)
    assert footprint(shell) == loaded


def test_nothing_heavy_is_imported_to_load_or_to_help() -> None:
    program = f"""
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "fleet_rlm")
shell.run_cell("%%fleet -h")
print([name for name in {HEAVY} if name in sys.modules and name not in before])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
