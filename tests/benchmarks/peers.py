"""The peers: dspy's two interpreters and rlms' REPL, unmodified, opened the way their users open them.

dspy's PythonInterpreter is a Deno program that imports one function from a remote library and Pyodide from npm. Deno
itself fetches Pyodide; the function is replaced by ours of `readlines.js`, so that no other network is needed.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DENO = "dspy PythonInterpreter"
LOCAL = "dspy LocalInterpreter"
RLMS = "rlms LocalREPL"
PEERS = (DENO, LOCAL, RLMS)

IN_PROCESS = "runs in the host's own process"

CACHE = Path(sys.prefix) / "deno"  # goes with the environment, and so with `make clean`


class Missing(Exception):
    """A peer cannot be had on this machine; the message says why."""


def local_interpreter(**options: Any) -> Any:
    """dspy's LocalInterpreter, not yet started."""
    from dspy.primitives.local_interpreter import LocalInterpreter

    return LocalInterpreter(**options)


def deno_interpreter(**options: Any) -> Any:
    """dspy's PythonInterpreter, not yet started. Raises Missing."""
    from dspy.primitives.python_interpreter import PythonInterpreter

    return PythonInterpreter(deno_command=_deno_command(), **options)


INTERPRETERS: dict[str, Callable[..., Any]] = {DENO: deno_interpreter, LOCAL: local_interpreter}


def rlms_repl(**options: Any) -> Any:
    """rlms' LocalREPL, ready at once."""
    from rlm.environments.local_repl import LocalREPL

    return LocalREPL(**options)


@functools.cache
def missing(peer: str) -> str | None:
    """Why a peer cannot be measured here, or None. Starting it here also fills its caches."""
    try:
        if peer == RLMS:
            rlms_repl().cleanup()
        else:
            interpreter = INTERPRETERS[peer]()
            try:
                interpreter.execute("1 + 1")
            finally:
                interpreter.shutdown()
    except (Missing, ImportError) as error:
        return str(error)
    except Exception as error:  # whatever a peer's start may raise is a fact to report
        return f"does not start here: {type(error).__name__}: {error}"
    return None


@functools.cache
def _deno_command() -> list[str]:
    import dspy.primitives.python_interpreter as module

    try:
        from deno import find_deno_bin
    except ImportError:
        raise Missing("the deno package is not installed") from None
    runner = Path(module.__file__).with_name("runner.js").resolve()
    remote = re.search(r'import \{ readLines \} from "([^"]+)"', runner.read_text())
    if remote is None:
        raise Missing("dspy's runner.js imports something else than this bench replaces")
    CACHE.mkdir(exist_ok=True)
    os.environ["DENO_DIR"] = str(CACHE)
    os.environ.setdefault("DENO_NO_PACKAGE_JSON", "1")  # dspy sets it for its own command only
    shim = Path(__file__).with_name("readlines.js").resolve()
    imports = CACHE / "imports.json"
    imports.write_text(f'{{"imports": {{"{remote[1]}": "{shim.as_uri()}"}}}}')
    options = ["--no-config", "--no-lock", "--node-modules-dir=false", f"--import-map={imports}"]
    reads = f"--allow-read={runner},{shim},{CACHE}"
    return [find_deno_bin(), "run", *options, reads, str(runner), "", f"--dspy-deno-dir={CACHE}"]
