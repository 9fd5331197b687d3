"""The backends of the suite, and what its tests share."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from fleet_rlm.sandbox.local import LocalSandbox
from tests.benchmarks.peers import DENO, INTERPRETERS
from tests.conformance.adapters import DspyInterpreter

LOCAL: dict[str, Callable[..., Any]] = {
    "confined+ns": lambda **options: LocalSandbox(tier="confined+ns", **options),
    "confined": lambda **options: LocalSandbox(tier="confined", **options),
    "process": lambda **options: LocalSandbox(tier="process", **options),
}
PEERS: dict[str, Callable[..., Any]] = {
    name: lambda make=make, **options: DspyInterpreter(make(**options))
    for name, make in INTERPRETERS.items()
    if name != DENO or importlib.util.find_spec("deno")  # which comes with the environment of the benchmarks
}
ALL = {**LOCAL, **PEERS}
KNOWN = {(DENO, "test_calls_from_threads_run_concurrently"): "Pyodide has no threads"}
"""What a peer does not keep of what it is asked: (backend, test) -> the reason."""
Make = Callable[..., Any]
"""Creates sandboxes of any backend."""
Local = Callable[..., LocalSandbox]
"""Creates sandboxes of our own tiers."""

THREAD = (
    "import threading\nstop = threading.Event()\n"
    "thread = threading.Thread(target=stop.wait, daemon=True)\nthread.start()"
)
"""A cell that leaves a thread running."""
